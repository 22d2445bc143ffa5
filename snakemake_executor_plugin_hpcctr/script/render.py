"""Task → the text of its job script."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.script.quote import array, exports, heredoc, quote, words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snakemake_executor_plugin_hpcctr.engines.base import Launch, OncePerNode
    from snakemake_executor_plugin_hpcctr.task import Task

#: Static parts of every task, copied once into the folder of a run.
LIBRARY = ("hpcctr.sh", "group.sh", "inside.sh", "measure.sh", "ranks.sh", "stage.sh")
#: The engine's own environment, or its programs would not find what they made.
ENGINE = 'env -i "${hpcctr_process_env[@]}"'


def library_text(name: str) -> str:
    """Return one of the files in LIBRARY."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def render_task(task: Task, launch: Launch, *, number: str, library: str, marker: str) -> str:
    """Return the job script of a task; `bash SCRIPT` runs it by hand, too.

    Args:
        task: What to run.
        launch: How its engine starts it.
        number: The task's number within its run, `SUBMISSION.INDEX`.
        library: Absolute folder that holds the files of LIBRARY on the node.
        marker: Absolute path of the exit marker, without the restart count.
    """
    return _render(task, launch, number=number, library=library, marker=marker, call="hpcctr_run")


def render_attached(task: Task, launch: Launch, *, library: str, terminal: bool) -> str:
    """Return a script that runs the task's command on the caller's own streams.

    Same checks, container and environment as `render_task`, but no log and no exit marker.

    Args:
        task: What to run.
        launch: How its engine starts it.
        library: Absolute folder that holds the files of LIBRARY on the node.
        terminal: Whether the streams are a terminal.
    """
    if launch.argv:
        more = launch.step + (launch.terminal if terminal else ())
        launch = replace(launch, argv=(launch.argv[0], *more, *launch.argv[1:]))
    return _render(task, launch, number="-", library=library, marker="", call="hpcctr_attach")


def _render(
    task: Task, launch: Launch, *, number: str, library: str, marker: str, call: str
) -> str:
    variables = {"hpcctr_task": number, "hpcctr_marker": marker, **_variables(task, launch)}
    sources = f"source {quote(library + '/hpcctr.sh')}\n"
    if staged := staged_image(task):
        variables |= {"hpcctr_stage_to": staged, "hpcctr_stage_limit": str(task.stage.limit_mb)}
    if staged or task.stage.inputs or task.stage.outputs:
        sources += f"source {quote(library + '/stage.sh')}\n"
    mark, body = heredoc(task.command, "END_OF_COMMAND")
    declared, declared_body = heredoc(exports(_environment(task)), "END_OF_ENVIRONMENT")
    return "".join(
        [
            _header(task, number),
            f"{sources}\n",
            "".join(f"{name}={quote(value)}\n" for name, value in variables.items()),
            array("hpcctr_sources", _sources(task, launch)) + "\n",
            _pairs("hpcctr_stage_in", task.stage.inputs),
            _pairs("hpcctr_stage_out", task.stage.outputs),
            array("hpcctr_pass", task.pass_env) + "\n",
            array("hpcctr_launch", launch.argv) + "\n",
            array("hpcctr_launch_env", (f"{k}={v}" for k, v in launch.env.items())) + "\n",
            _ranks(launch) if task.launcher else "",
            "\n",
            _functions(launch),
            "# What the command finds in its environment:\n",
            f"hpcctr_read hpcctr_declared {declared}\n{declared_body}\n",
            "# The command:\n",
            f"hpcctr_read hpcctr_command {mark}\n{body}",
            _benchmark(task) if task.benchmark else "",
            f"\n{call}\n",
        ]
    )


def _variables(task: Task, launch: Launch) -> dict[str, str]:
    shell = posixpath.basename(task.interpreter) if launch.contained else task.interpreter
    return {
        "hpcctr_workdir": task.workdir,
        "hpcctr_shell": shell,
        "hpcctr_scratch": task.scratch,
        "hpcctr_tmpdir": task.tmpdir,
        "hpcctr_gpus": str(task.resources.gpu.count if task.resources.gpu else 0),
        "hpcctr_clean": str(int(task.clean_env)),
        "hpcctr_engine": launch.argv[0] if launch.argv else "",
        "hpcctr_substitute": launch.substitute,
        "hpcctr_image": _image_path(task),
    }


def _ranks(launch: Launch) -> str:
    return "hpcctr_ranks=1\n" + array("hpcctr_launcher", launch.launcher) + "\n"


def _benchmark(task: Task) -> str:
    lines = ["\n# It is measured, and run again so often:\nhpcctr_measured=1 hpcctr_again=()\n"]
    for index, command in enumerate(task.repeats):
        mark, body = heredoc(command, "END_OF_COMMAND")
        lines.append(f"hpcctr_read 'hpcctr_again[{index}]' {mark}\n{body}")
    return "".join(lines)


def render_series(pairs: Iterable[tuple[str, str]], *, title: str, library: str) -> str:
    """Return the script of an element that runs several tasks one after another.

    Args:
        pairs: Absolute paths of each task's script and log.
        title: What it is, for people.
        library: As for `render_task`.
    """
    lines = "".join(f"  {quote(script)} {quote(log)}\n" for script, log in pairs)
    return (
        f"#!/bin/bash\n# {' '.join(title.split())}\n"
        f"source {quote(library + '/hpcctr.sh')}\n\n"
        f"series=(\n{lines})\n"
        'hpcctr_run_series "${series[@]}"\n'
    )


def _header(task: Task, number: str) -> str:
    image = f", image {task.image.reference}" if task.image else ""
    lines = [
        f"hpcctr task {number}: {task.title}, attempt {task.attempt}",
        f"engine {task.engine}{image}",
        "by hand: bash THIS_FILE (writes the exit marker and uses the same temporary folder)",
    ]
    # A wildcard may hold any character: a newline must not end the comment.
    comments = "".join(f"# {' '.join(line.split())}\n" for line in lines)
    return f"#!/bin/bash\n{comments}"


def _environment(task: Task) -> dict[str, str]:
    """Return the declared variables, with the four names of the temporary folder."""
    folder = dict.fromkeys(("TMPDIR", "TMP", "TEMPDIR", "TEMP"), task.tmpdir)
    return {**folder, **task.env}


def staged_image(task: Task) -> str:
    """Return the path of the image's copy on the node, which changes with its content; or ""."""
    path = _image_path(task)
    if task.launcher or (task.resources.nodes or 1) > 1:
        return ""  # all processes of the task start from the same path
    if not (path and task.stage.images and task.image and task.image.format != "directory"):
        return ""
    stem, suffix = posixpath.splitext(posixpath.basename(path))
    digest = hashlib.sha256(f"{path}\n{task.image.identity}".encode(errors="surrogateescape"))
    return posixpath.join(task.stage.images, f"{stem}-{digest.hexdigest()[:12]}{suffix}")


def _image_path(task: Task) -> str:
    image = task.image
    return image.location if image and image.format in {"sif", "sqsh", "directory"} else ""


def _sources(task: Task, launch: Launch) -> tuple[str, ...]:
    """Return what must be on the node before the task begins; its own folder is made then."""
    if not launch.contained:
        return ()
    sources = dict.fromkeys(bind.source for bind in task.binds)
    return tuple(path for path in sources if not path.startswith(f"{task.scratch}/"))


def _pairs(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    items = [item for pair in pairs for item in pair]
    return array(name, items) + "\n" if items else ""


def _functions(launch: Launch) -> str:
    writes = []
    for name, text in launch.files.items():
        mark, body = heredoc(text, "END_OF_FILE")
        writes.append(f'cat >"$hpcctr_scratch"/{quote(name)} {mark}\n{body}')
    files = "".join(writes) or ":\n"
    once = _once(launch.before) if launch.before else "  :\n"
    after = "".join(f"  {ENGINE} {words(argv)} >/dev/null\n" for argv in launch.after) or "  :\n"
    return (
        f"hpcctr_files() {{\n{files}}}\n\n"
        f"hpcctr_once() {{\n{once}}}\n\n"
        f"hpcctr_after() {{\n{after}}}\n\n"
    )


def _once(work: OncePerNode) -> str:
    """Return shell lines that do the work under a lock, unless another task has done it.

    The lock file belongs to one user: nobody can open another's in /tmp. It is empty until the
    work was done, so that work which was cut short (the task killed) is done again; each task
    writes to it, or a cleaner of old files would remove it.
    """
    return (
        f'  local lock={quote(work.lock)}."$UID"\n'
        f"  (\n    flock 9\n    {{ [[ -s $lock ]] && {ENGINE} {words(work.check)}; }} \\\n"
        f"      || {ENGINE} {words(work.do)} >&2 || exit\n    echo >&9\n"
        f'  ) 9>>"$lock" || hpcctr_fail engine_failed {quote(words(work.do))}\n'
    )

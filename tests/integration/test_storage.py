"""Remote storage: the head moves files by default; with less shared, the nodes do."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.served import served
from tests.integration.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.lab import Lab
    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        shutil.which("rsync") is None, reason="rsync, which the storage plugin calls, is missing"
    ),
]

MARKED = """
    storage fs:
        provider="fs"

    REMOTE = os.path.abspath("remote")

    rule all:
        input: storage.fs(f"{REMOTE}/shell.txt"), storage.fs(f"{REMOTE}/run.txt"), "script.txt"

    rule by_shell:
        input: storage.fs(f"{REMOTE}/in.txt")
        output: storage.fs(f"{REMOTE}/shell.txt")
        shell: "cat {input} >{output}; echo shell {input} >>{output}"

    rule by_run:
        input: storage.fs(f"{REMOTE}/in.txt")
        output: storage.fs(f"{REMOTE}/run.txt")
        run:
            shell("cat {input} >{output}")
            with open(output[0], "a") as stream:
                print("run", input[0], file=stream)

    rule by_script:
        input: storage.fs(f"{REMOTE}/shell.txt")
        output: "script.txt"
        script: "write.py"
"""
DEFAULT = """
    rule all:
        input: "shell.txt", "run.txt", "script.txt"

    rule by_shell:
        input: "in.txt"
        output: "shell.txt"
        log: "shell.log"
        benchmark: "shell.tsv"
        shell: "cat {input} >{output}; echo shell >>{output}; echo logged >{log}"

    rule by_run:
        input: "shell.txt"
        output: "run.txt"
        run:
            shell("cat {input} >{output}; echo run >>{output}")

    rule by_script:
        input: "shell.txt"
        output: "script.txt"
        script: "write.py"
"""
SCRIPT = """
    with open(snakemake.input[0]) as source, open(snakemake.output[0], "w") as target:
        print("script", source.read().split()[0], file=target)
"""
NO_COPIES = ("persistence", "input-output", "sources", "software-deployment", "source-cache")
LITTLE = ("persistence", "sources", "software-deployment", "source-cache")


def prepare(folder: Path, environ: dict[str, str], snakefile: str) -> Workflow:
    """Write a workflow with a folder that stands for a remote storage."""
    workflow = Workflow(folder, environ)
    workflow.snakefile(snakefile)
    workflow.write("write.py", SCRIPT)
    workflow.write("remote/in.txt", "in\n")
    return workflow


def content(workflow: Workflow) -> dict[str, bytes]:
    """Return what is in the storage and among the outputs, without times."""
    files = [*workflow.folder.glob("remote/*"), *workflow.folder.glob("script.txt")]
    return {p.name: p.read_bytes() for p in files if p.suffix != ".tsv"}


def assert_done(workflow: Workflow, *flags: str) -> None:
    """Neither executor finds anything left to do."""
    for executor in ("local", "hpcctr"):
        result = workflow.start("--executor", executor, "-j", "1", "-n", *flags).finish()
        assert "Nothing to be done" in result.said, result.said


def test_head_moves_files_by_default(lab: Lab, tmp_path: Path) -> None:
    """Inputs are downloaded before the task and outputs uploaded after it, as under local."""
    ours = prepare(tmp_path / "ours", lab.environ, MARKED)
    local = prepare(tmp_path / "local", {}, MARKED)

    result, expected = ours.run(), local.run_local()

    assert (0, 0) == (expected.code, result.code), result.said
    assert {
        name: text.replace(b"/local/", b"/ours/") for name, text in content(local).items()
    } == content(ours)
    assert_done(ours)


def test_local_copies_are_visible_in_a_container(
    lab: Lab,
    apptainer: str,  # noqa: ARG001 (the default engine)
    base_image: BaseImage,
    tmp_path: Path,
) -> None:
    """A contained task sees the local copy of its input, wherever those are kept."""
    workflow = prepare(
        tmp_path / "work",
        lab.environ,
        f"""
        storage fs:
            provider="fs"
        REMOTE = os.path.abspath("remote")
        rule contained:
            input: storage.fs(f"{{REMOTE}}/in.txt")
            output: storage.fs(f"{{REMOTE}}/out.txt")
            container: "{base_image.sif}"
            shell: "cat {{input}} >{{output}}; test -e /.singularity.d && echo inside >>{{output}}"
        """,
    )
    copies = str(tmp_path / "copies")
    result = workflow.run(
        *("--local-storage-prefix", copies, "--remote-job-local-storage-prefix", copies)
    )
    assert result.code == 0, result.said
    assert (workflow.folder / "remote/out.txt").read_text() == "in\ninside\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serve a folder by HTTP on this machine."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "data.txt").write_text("over http\n")
    with served(folder) as address:
        yield address


def test_input_over_http(lab: Lab, server: str, tmp_path: Path) -> None:
    """A file on a web server is an input of every kind of rule."""
    workflow = Workflow(tmp_path / "work", lab.environ)
    workflow.snakefile(f"""
        rule all:
            input: "shell.txt", "run.txt"
        rule by_shell:
            input: storage.http("{server}/data.txt")
            output: "shell.txt"
            shell: "cat {{input}} >{{output}}"
        rule by_run:
            input: storage.http("{server}/data.txt")
            output: "run.txt"
            run:
                shell("cat {{input}} >{{output}}")
    """)
    result = workflow.run()
    assert result.code == 0, result.said
    for name in ("shell.txt", "run.txt"):
        assert (workflow.folder / name).read_text() == "over http\n"


def test_nodes_move_files_where_nothing_is_shared(lab: Lab, tmp_path: Path) -> None:
    """Without shared inputs and outputs, each node downloads and uploads for itself."""

    def flags(workflow: Workflow) -> tuple[str, ...]:
        remote = str(workflow.folder / "remote")
        return ("--default-storage-provider", "fs", "--default-storage-prefix", remote)

    ours = prepare(tmp_path / "ours", lab.environ, DEFAULT)
    local = prepare(tmp_path / "local", {}, DEFAULT)

    result = ours.run(*flags(ours), "--shared-fs-usage", *LITTLE, timeout_s=120)
    expected = local.run_local(*flags(local))

    assert (0, 0) == (expected.code, result.code), result.said
    assert content(local) == content(ours)
    assert (ours.folder / "remote/shell.tsv").read_text().startswith("s\th:m:s\t")
    (told,) = result.lines("(input-output is not shared)")
    assert {"by_run", "by_script", "by_shell"} == set(told.split(": ")[-1].split(", "))
    assert_done(ours, *flags(ours))


def test_node_downloads_where_copies_are_not_shared(lab: Lab, tmp_path: Path) -> None:
    """A job with a storage input is run by Snakemake on its node, the others are not."""
    workflow = prepare(
        tmp_path,
        lab.environ,
        """
        storage fs:
            provider="fs"
        rule all:
            input: "out.txt", "plain.txt"
        rule fetched:
            input: storage.fs(os.path.abspath("remote/in.txt"))
            output: "out.txt"
            shell: "cat {input} >{output}"
        rule plain:
            output: "plain.txt"
            shell: "echo plain >{output}"
        """,
    )
    result = workflow.run("--shared-fs-usage", *NO_COPIES)
    assert result.code == 0, result.said
    assert (tmp_path / "out.txt").read_text() == "in\n"
    (told,) = result.lines("(storage-local-copies is not shared)")
    assert told.endswith(": fetched")


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        (("none",), "persistence and sources"),
        (("input-output", "sources", "software-deployment", "source-cache"), "persistence"),
        (("persistence", "input-output", "software-deployment"), "sources"),
    ],
)
def test_what_cannot_work_is_said_before(
    lab: Lab, tmp_path: Path, usage: tuple[str, ...], words: str
) -> None:
    """Without a shared place for scripts nothing is submitted; the flag and its cure are named."""
    workflow = prepare(tmp_path, lab.environ, DEFAULT)
    remote = str(tmp_path / "remote")
    result = workflow.run(
        *("--default-storage-provider", "fs", "--default-storage-prefix", remote),
        *("--shared-fs-usage", *usage),
    )
    assert result.code == 1
    assert f"--shared-fs-usage: hpcctr cannot run without {words}" in result.said
    assert result.lines("hint: run the workflow in a folder that all nodes see")
    assert not result.shows_traceback
    assert [] == workflow.rows()


def test_contradiction_is_said_before(lab: Lab, tmp_path: Path) -> None:
    """Storage outputs, shared outputs and copies that are not: Snakemake would never find them."""
    workflow = prepare(tmp_path, lab.environ, MARKED)
    result = workflow.run("--shared-fs-usage", *NO_COPIES)
    assert result.code == 1
    assert "rule by_run, --shared-fs-usage: Snakemake looks for local copies" in result.said
    assert result.lines("hint: add storage-local-copies, or leave out input-output")
    assert not result.shows_traceback
    assert [] == workflow.rows()


def test_container_of_ours_is_refused_there(lab: Lab, tmp_path: Path) -> None:
    """Where Snakemake must run the job, a container of hpcctr's is refused, not left out."""
    workflow = prepare(
        tmp_path,
        lab.environ,
        """
        rule contained:
            input: "in.txt"
            output: "out.txt"
            container: "image.sif"
            shell: "cat {input} >{output}"
        """,
    )
    remote = str(tmp_path / "remote")
    result = workflow.run(
        *("--default-storage-provider", "fs", "--default-storage-prefix", remote),
        *("--shared-fs-usage", *LITTLE),
    )
    assert result.code == 1
    assert "rule contained: Snakemake itself has to run it on its node" in result.said
    assert result.lines("hint: add `--sdm apptainer`")
    assert not result.shows_traceback
    assert [] == workflow.rows()


GROUPED = """
    rule all:
        input: "counted.txt", "late.txt"

    rule first:
        input: "in.txt"
        output: temp("first.txt")
        group: "g"
        threads: 2
        shell: "cat {input} >{output}"

    rule count:
        input: "first.txt"
        output: "counted.txt"
        group: "g"
        shell: "test ! -L {input} && wc -l <{input} >{output}"

    rule late:
        input: "counted.txt"
        output: "late.txt"
        group: "g"
        params: words=lambda _, input: Path(input[0]).read_text().strip()
        run:
            with open(output[0], "w") as stream:
                print(params.words, group_variable(), file=stream)

    def group_variable():
        return os.environ["GROUP_VARIABLE"]
"""
MARKED_INPUT = 'storage.fs(os.path.abspath("remote/in.txt"))'
PIPE = """
    rule a:
        output: pipe("a.txt")
        shell: "echo a >{output}"

    rule b:
        input: "a.txt", storage.fs(os.path.abspath("remote/in.txt"))
        output: "b.txt"
        shell: "cat {input} >{output}"
"""
STORAGE = """
    storage fs:
        provider="fs"
"""


def test_one_snakemake_runs_a_group(lab: Lab, tmp_path: Path) -> None:
    """With unshared inputs, one Snakemake runs a group, whose jobs need no storage in between."""
    ours = prepare(tmp_path / "ours", lab.environ, GROUPED)
    ours.write("hpcctr.yaml", "defaults:\n  env:\n    GROUP_VARIABLE: ours\n")
    local = prepare(tmp_path / "local", {"GROUP_VARIABLE": "ours"}, GROUPED)

    result = ours.run(*_remote(ours))
    expected = local.run_local(*_remote(local)[:4])

    assert (0, 0) == (expected.code, result.code), result.said
    assert content(local) == content(ours)
    assert {"in.txt", "counted.txt", "late.txt"} <= set(content(ours))
    assert ["group_g"] == [row.rule for row in ours.rows()]
    assert result.lines("Submitted group g (count, first, late) as")
    assert_done(ours, *_remote(ours))


def test_one_snakemake_runs_a_pipe(lab: Lab, tmp_path: Path) -> None:
    """Partners of a pipe of whom one needs Snakemake on its node are run by one Snakemake."""
    workflow = prepare(tmp_path, lab.environ, STORAGE + PIPE)
    result = workflow.run("b.txt", "--shared-fs-usage", *NO_COPIES)
    assert result.code == 0, result.said
    assert (tmp_path / "b.txt").read_text() == "a\nin\n"
    assert ["group_a_b"] == [row.rule for row in workflow.rows()]


def test_pipe_in_a_storage_is_refused(lab: Lab, tmp_path: Path) -> None:
    """Snakemake on a node fails to store a pipe; that is said before."""
    workflow = prepare(tmp_path, lab.environ, PIPE.replace(MARKED_INPUT, '"in.txt"'))
    result = workflow.run("b.txt", *_remote(workflow))
    assert result.code == 1
    assert "rule a: its pipe belongs to the storage" in result.said
    assert result.lines("hint: add input-output and storage-local-copies")
    assert not result.shows_traceback
    assert [] == workflow.rows()


def test_group_of_one_snakemake_says_what_failed(lab: Lab, tmp_path: Path) -> None:
    """The failure of such a group is the group's, and its log tells which job failed."""
    workflow = prepare(tmp_path, lab.environ, GROUPED.replace("wc -l", "no-such-command"))
    result = workflow.run(*_remote(workflow))
    assert result.code == 1
    assert result.lines("group g (count, first, late) failed on")
    assert "no-such-command" in result.said
    assert not result.shows_traceback


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (
            'container: "image.sif"',
            "",
            "rule a: Snakemake itself has to run it on its node, because it shares a pipe",
        ),
        ('resources: env="X=1"', 'resources: env="X=2"', "sets the variable X to"),
    ],
)
def test_what_one_snakemake_cannot_run_is_refused(
    lab: Lab, tmp_path: Path, a: str, b: str, words: str
) -> None:
    """A container of ours, or two values of a variable, in a group that one Snakemake runs."""
    lines = PIPE.replace('pipe("a.txt")', f'pipe("a.txt")\n        {a}')
    lines = lines.replace('"b.txt"', f'"b.txt"\n        {b}')
    workflow = prepare(tmp_path, lab.environ, STORAGE + lines)
    result = workflow.run("b.txt", "--shared-fs-usage", *NO_COPIES)
    assert result.code == 1
    assert words in result.said
    assert result.lines("hint: ")
    assert not result.shows_traceback
    assert [] == workflow.rows()


def _remote(workflow: Workflow) -> tuple[str, ...]:
    """Return the flags with which all files go through the storage."""
    remote = str(workflow.folder / "remote")
    return (
        *("--default-storage-provider", "fs", "--default-storage-prefix", remote),
        *("--shared-fs-usage", *LITTLE),
    )


def test_software_that_is_not_shared_is_deployed_on_the_node(
    lab: Lab,
    apptainer: str,  # noqa: ARG001 (Snakemake starts it)
    base_image: BaseImage,
    tmp_path: Path,
) -> None:
    """Without software-deployment, Snakemake on the node starts the container of its --sdm."""
    workflow = prepare(
        tmp_path,
        lab.environ,
        f"""
        rule all:
            input: "inside.txt", "plain.txt"
        rule inside:
            output: "inside.txt"
            container: "{base_image.sif}"
            shell: "test -e /.singularity.d && echo inside >{{output}}"
        rule plain:
            output: "plain.txt"
            shell: "echo plain >{{output}}"
        """,
    )
    shared = ("persistence", "input-output", "sources", "source-cache", "storage-local-copies")
    flags = ("--sdm", "apptainer", "--shared-fs-usage", *shared)
    result = workflow.run(*flags, "--hpcctr-python", sys.executable)
    assert result.code == 0, result.said
    assert (tmp_path / "inside.txt").read_text() == "inside\n"
    (told,) = result.lines("(software-deployment is not shared)")
    assert told.endswith(": inside")
    assert_done(workflow, "--sdm", "apptainer")


def test_wrappers_run_on_the_node_where_the_source_cache_is_not_shared(
    lab: Lab, tmp_path: Path
) -> None:
    """Without source-cache a wrapper is fetched on its node; a script of our own is captured."""
    workflow = prepare(
        tmp_path,
        lab.environ,
        f"""
        rule all:
            input: "wrapped.txt", "script.txt"
        rule wrapped:
            input: "remote/in.txt"
            output: "wrapped.txt"
            wrapper: "file://{tmp_path}/wrapped"
        rule by_script:
            input: "wrapped.txt"
            output: "script.txt"
            script: "write.py"
        """,
    )
    workflow.write("wrapped/wrapper.py", SCRIPT)
    workflow.write("wrapped/environment.yaml", "dependencies: []\n")
    shared = ("persistence", "input-output", "sources", "software-deployment")
    result = workflow.run("--shared-fs-usage", *shared, "storage-local-copies")
    assert result.code == 0, result.said
    assert (tmp_path / "script.txt").read_text() == "script script\n"
    (told,) = result.lines("(source-cache is not shared)")
    assert told.endswith(": wrapped")
    assert_done(workflow)

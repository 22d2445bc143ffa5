"""Images on a node's own disk: copied once, whole or not at all, and made room for."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.config.fields import Surroundings
from snakemake_executor_plugin_hpcctr.config.layers import make_layers, resolve
from snakemake_executor_plugin_hpcctr.config.sources import file_source
from snakemake_executor_plugin_hpcctr.config.yamlfile import parse_config
from snakemake_executor_plugin_hpcctr.engines import launch
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.executor.local_data import with_local_data
from snakemake_executor_plugin_hpcctr.script.quote import array, quote
from snakemake_executor_plugin_hpcctr.script.render import (
    library_text,
    render_task,
    staged_image,
)
from snakemake_executor_plugin_hpcctr.task import Bind, Image, ImageFormat, Stage, Task

MIB = 1024**2
AROUND = Surroundings(environ={}, base="/flow")


def make_task(image_format: ImageFormat = "sqsh", identity: str = "1", **stage: object) -> Task:
    """Return a task that may copy its image."""
    return Task(
        key="k",
        rule="train",
        command="true",
        engine="apptainer",
        image=Image(
            reference="a", location="/images/a.sqsh", format=image_format, identity=identity
        ),
        workdir="/flow",
        scratch="/tmp/s",
        tmpdir="/tmp/s/tmp",
        stage=Stage.model_validate(stage),
    )


class Node:
    """Runs the staging functions as a task's script would."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.image = folder, folder / "shared.sqsh"
        self.image.write_bytes(b"x" * MIB)
        self.copies = folder / "local"
        library = "".join(map(library_text, ("hpcctr.sh", "stage.sh")))
        (folder / "library.sh").write_text(library)

    def script(self, name: str = "a.sqsh", limit_mb: int = 100) -> str:
        """Return a script that stages the image and prints the command line."""
        values = {
            "hpcctr_image": str(self.image),
            "hpcctr_stage_to": str(self.copies / name),
            "hpcctr_stage_limit": str(limit_mb),
        }
        image = str(self.image)
        return "\n".join(
            [
                f"source {quote(str(self.folder / 'library.sh'))}",
                *(f"{name}={quote(value)}" for name, value in values.items()),
                array("hpcctr_launch", ["run", f"--image={image}", image, f"{image}:/x"]),
                "hpcctr_stage && printf '%s\\n' \"${hpcctr_launch[@]}\"",
            ]
        )

    def stage(self, name: str = "a.sqsh", limit_mb: int = 100) -> proc.Completed:
        """Stage the image."""
        return proc.run(["bash", "-c", self.script(name, limit_mb)])

    def names(self) -> list[str]:
        """Return the copies that are there."""
        return sorted(path.name for path in self.copies.glob("*.sqsh"))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Return a node with an image on the shared file system."""
    return Node(tmp_path)


def test_the_copy_takes_the_image_s_place(node: Node) -> None:
    """The engine starts the copy, however its option is written; other words stay."""
    done = node.stage()
    copy, image = node.copies / "a.sqsh", node.image
    assert ["run", f"--image={copy}", str(copy), f"{image}:/x"] == done.out.splitlines()
    assert "" == done.err
    assert image.read_bytes() == copy.read_bytes()


def test_an_image_is_copied_once(node: Node) -> None:
    """Tasks that start at once share one copy; a later one finds it."""
    script = node.script()
    started = [
        subprocess.Popen(["bash", "-c", script], stdout=subprocess.DEVNULL) for _ in range(8)
    ]
    assert [0] * 8 == [process.wait(60) for process in started]
    inode = (node.copies / "a.sqsh").stat().st_ino
    node.stage()
    assert inode == (node.copies / "a.sqsh").stat().st_ino
    assert ["a.sqsh"] == node.names()


def test_a_copy_that_is_not_the_image_is_made_again(node: Node) -> None:
    """A copy that was cut short or is older is replaced."""
    node.stage()
    copy = node.copies / "a.sqsh"
    copy.write_bytes(b"short")
    node.stage()
    assert MIB == copy.stat().st_size
    os.utime(copy, (1, 1))
    node.stage()
    assert node.image.stat().st_mtime == pytest.approx(copy.stat().st_mtime, abs=1)


def test_where_no_copy_can_be_made_the_image_is_used_in_place(node: Node) -> None:
    """The task runs all the same, and says why it is slower."""
    node.copies.write_text("a file, not a folder")
    done = node.stage()
    assert str(node.image) == done.out.splitlines()[2]
    assert "cannot be copied" in done.err


def test_the_copy_unused_for_longest_makes_room(node: Node) -> None:
    """Over the limit the oldest copies go; those asked for in the last ten minutes stay."""
    for name in ("old.sqsh", "older.sqsh", "fresh.sqsh"):
        node.stage(name)
    for name, minutes in (("old.sqsh", 20), ("older.sqsh", 30)):
        then = time.time() - 60 * minutes
        os.utime(node.copies / f"{name}.used", (then, then))
    node.stage("new.sqsh", limit_mb=4)
    assert ["fresh.sqsh", "new.sqsh", "old.sqsh"] == node.names()
    node.stage("newer.sqsh", limit_mb=1)
    assert ["fresh.sqsh", "new.sqsh", "newer.sqsh"] == node.names()


def test_a_failed_copy_leaves_nothing(node: Node) -> None:
    """No part of an image stays where the copy failed."""
    node.image.chmod(0o644)
    script = node.script().replace("hpcctr_stage &&", "cp() { false; }; hpcctr_stage &&")
    assert proc.run(["bash", "-c", script]).ok
    assert [] == list(node.copies.glob("*sqsh*"))


def test_the_name_changes_with_the_image() -> None:
    """Another content, or another image of the same name, is another copy."""
    one = staged_image(make_task(images="/scratch"))
    assert one.startswith("/scratch/a-")
    assert one.endswith(".sqsh")
    assert one != staged_image(make_task(images="/scratch", identity="2"))


@pytest.mark.parametrize("image_format", ["directory", "registry", "container"])
def test_only_files_are_copied(image_format: ImageFormat) -> None:
    """A directory, a registry's reference and a container are used as they are."""
    assert "" == staged_image(make_task(image_format, images="/scratch"))


def test_a_script_without_staging_knows_nothing_of_it() -> None:
    """Nothing is added to a script that copies nothing."""
    plain, staging = (
        render_task(task, launch(task), number="1.0", library="/l", marker="/m")
        for task in (make_task(), make_task(images="/scratch"))
    )
    assert "stage" not in plain
    assert "source /l/stage.sh\n" in staging
    assert "hpcctr_stage_limit=102400\n" in staging


def _resolved(text: str) -> Stage:
    config = file_source(parse_config(text, "hpcctr.yaml", AROUND), "")
    return resolve("r", {}, 1, make_layers({}, config, None, Path("/flow"), {})).stage


def test_settings_are_read() -> None:
    """`true` is a folder of the user's own in /tmp; a path is itself; `false` is none."""
    default = f"/tmp/hpcctr-images-{os.getuid()}"
    assert Stage() == _resolved("defaults: {account: a}")
    assert Stage(images=default) == _resolved("defaults: {stage: {images: true}}")
    wanted = Stage(images="/scratch/i", limit_mb=20480)
    text = "defaults: {stage: {images: /scratch/i, limit: 20GiB}}\n"
    assert wanted == _resolved(text)
    off = _resolved(f"{text}rules: {{r: {{stage: {{images: false}}}}}}")
    assert off.images is None


def test_a_relative_folder_is_refused() -> None:
    """A node has no folder from which a relative path could count."""
    with pytest.raises(ConfigError, match="an absolute path"):
        _resolved("defaults: {stage: {images: here}}")


def contained(folder: Path, **changes: object) -> Task:
    """Return a task in a container, in a workflow's folder."""
    own = Bind(source=str(folder), target=str(folder))
    return make_task().model_copy(update={"workdir": str(folder), "binds": (own,), **changes})


def test_data_are_bound_over_their_own_paths(tmp_path: Path) -> None:
    """A copy of each input, and an empty folder for the outputs, take the originals' places."""
    one, out = f"{tmp_path}/data/in.csv", f"{tmp_path}/models"
    task, said = with_local_data(contained(tmp_path), [one], [f"{out}/a", f"{out}/b"], [])
    assert () == said
    assert (
        Bind(source="/tmp/s/in/0/in.csv", target=one, read_only=True),
        Bind(source="/tmp/s/out/0", target=out),
    ) == task.binds[1:]
    assert ((one, "/tmp/s/in/0/in.csv"),) == task.stage.inputs
    made = (("/tmp/s/out/0/a", f"{out}/a"), ("/tmp/s/out/0/b", f"{out}/b"))
    assert made == task.stage.outputs
    assert "/tmp/s/out/0" not in render_task(
        task, launch(task), number="1.0", library="/l", marker="/m"
    ).split("hpcctr_sources=", 1)[1].split("hpcctr_stage_in")[0]  # fmt: skip


@pytest.mark.parametrize(
    ("inputs", "outputs", "others", "said"),
    [
        ([], ["a.txt"], [], "outputs in . are made in place"),
        (["models/in"], ["models/a"], [], "outputs in models are made in place"),
        ([], ["models/a"], ["models/log"], "outputs in models are made in place"),
        ([], ["models/a", "models/b/c"], [], "outputs in models are made in place"),
        (["with space"], [], [], "the input with space stays in place"),
    ],
)
def test_what_stays_in_place_is_told(
    tmp_path: Path, inputs: list[str], outputs: list[str], others: list[str], said: str
) -> None:
    """A folder that the task uses otherwise, and a path that no engine binds, stay as they are."""
    paths = [[f"{tmp_path}/{name}" for name in names] for names in (inputs, outputs, others)]
    task, sentences = with_local_data(contained(tmp_path), *paths)
    shown = " ".join(sentences).replace(f"{tmp_path}/", "").replace(str(tmp_path), ".")
    assert said in shown
    assert not [pair for pair in task.stage.outputs if pair[1].count("/") == 1]


def test_a_command_on_the_host_keeps_its_data(tmp_path: Path) -> None:
    """Without a container nothing can be bound over a path."""
    task = contained(tmp_path, engine="host", image=None)
    same, said = with_local_data(task, [f"{tmp_path}/a"], [], [])
    assert task == same
    assert "needs a container" in said[0]


def _data(folder: Path, code: int, more: str = "") -> proc.Completed:
    """Run the data's way there and back, the command in between."""
    library = "".join(map(library_text, ("hpcctr.sh", "stage.sh")))
    (folder / "library.sh").write_text(library)
    pairs = {
        "hpcctr_stage_in": [f"{folder}/in.txt", f"{folder}/s/in/0/in.txt"],
        "hpcctr_stage_out": [f"{folder}/s/out/0/made", f"{folder}/made"],
    }
    lines = [f"source {quote(f'{folder}/library.sh')}"]
    lines += [array(name, items) for name, items in pairs.items()]
    lines += ["hpcctr_stage || exit", f"cat {folder}/s/in/0/in.txt >{folder}/s/out/0/made"]
    lines += [more, f"hpcctr_code={code}; hpcctr_stage_back; exit $hpcctr_code"]
    return proc.run(["bash", "-c", "\n".join(lines)])


def test_outputs_come_back_after_success_only(tmp_path: Path) -> None:
    """A command that failed leaves nothing; one that succeeded leaves the whole output."""
    (tmp_path / "in.txt").write_text("data\n")
    assert 3 == _data(tmp_path, 3).code
    assert not (tmp_path / "made").exists()
    assert 0 == _data(tmp_path, 0).code
    assert "data\n" == (tmp_path / "made").read_text()
    assert [] == list(tmp_path.glob(".made*"))


def test_an_output_that_cannot_be_copied_back_fails_the_task(tmp_path: Path) -> None:
    """A copy that breaks off leaves the old output, no part of the new one, and an exit code."""
    (tmp_path / "in.txt").write_text("data\n")
    (tmp_path / "made").write_text("old\n")
    done = _data(tmp_path, 0, 'cp() { command cp "$@"; return 1; }')
    assert 1 == done.code
    assert "hpcctr: stage: cannot copy the output" in done.err
    assert "old\n" == (tmp_path / "made").read_text()
    assert [] == list(tmp_path.glob(".made*"))


def test_an_input_that_cannot_be_copied_fails_the_task(tmp_path: Path) -> None:
    """Without its input on the node the command does not start."""
    done = _data(tmp_path, 0)
    assert 1 == done.code
    assert "hpcctr: stage: cannot copy the input" in done.err

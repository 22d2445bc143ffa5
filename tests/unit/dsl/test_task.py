"""From a task of a plan to its manifest, run by bash without Snakemake."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.dsl import DslError, snakefile
from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout
from snakemake_executor_plugin_hpcctr.dsl.runtime.making import Making
from snakemake_executor_plugin_hpcctr.dsl.runtime.store import Store
from snakemake_executor_plugin_hpcctr.dsl.runtime.task import finish, prepare
from tests.unit.dsl.planned import plan

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.dsl.model import Manifest


def making_of(folder: Path, process: str, inputs: str = "") -> Making:
    """Return the one task of a pipeline with one process, `p`."""
    body = "".join(f"    {line}\n" for line in process.strip().splitlines())
    made = plan(folder, f"class p({body.strip()}\n\n@workflow\ndef main():\n    p({inputs})\n")
    layout = Layout(folder / "root")
    snakefile.write(made, layout)
    return Making(Store(layout), "p", next(iter(made.calls[0].tasks)))


def ran(making: Making) -> Manifest:
    """Run a task and return its manifest."""
    subprocess.run(["bash", "-c", prepare(making).command], check=True)
    return finish(making)


def test_a_variable_of_a_script_that_ended_early(tmp_path: Path) -> None:
    """The task fails with a sentence, not with an error about a file of ours."""
    making = making_of(
        tmp_path, "Process):\nlevel: Out[str] = out(env('LEVEL'))\nscript = 'LEVEL=3; exit 0'"
    )
    with pytest.raises(DslError, match="variable `LEVEL` was not kept"):
        ran(making)


@pytest.mark.parametrize(
    ("pattern", "said"), [("made", "nothing matches 'made'"), ("m*", "made: No such file")]
)
def test_a_link_to_nowhere(pattern: str, said: str, tmp_path: Path) -> None:
    """It is no output; the task fails, and the run goes on."""
    making = making_of(
        tmp_path,
        f"Process):\nmade: Out[Path] = out(path('{pattern}'))\nscript = 'ln -s nowhere made'",
    )
    with pytest.raises(DslError, match=said):
        ran(making)


def test_a_manifest_that_cannot_be_written(tmp_path: Path) -> None:
    """A manifest that cannot be written fails the task with the file's name."""
    making = making_of(
        tmp_path, "Process):\nmade: Out[Path] = out(path('made'))\nscript = 'touch made'"
    )
    (making.store.layout.manifest("p", making.key)).mkdir(parents=True)
    with pytest.raises(DslError, match="Is a directory"):
        ran(making)


def test_stored_files_replace_half_of_one(tmp_path: Path) -> None:
    """What a killed head left of a file on its way into storeDir does not count."""
    store = tmp_path / "store"
    making = making_of(
        tmp_path,
        f"Process, storeDir='{store}'):\nmade: Out[Path] = out(path('made'))\n"
        "script = 'echo whole > made'",
    )
    store.mkdir()
    (store / ".made.part").write_text("ha")
    manifest = ran(making)
    assert ["made"] == [path.name for path in store.iterdir()]
    assert "whole\n" == (store / "made").read_text()
    assert [str(store / "made")] == [file.path for file in manifest.files]


def test_stored_folders_replace_older_ones(tmp_path: Path) -> None:
    """A folder of an older result is replaced, not filled up."""
    store = tmp_path / "store"
    making = making_of(
        tmp_path,
        f"Process, storeDir='{store}'):\nmade: Out[list[Path]] = out(path('d'), path('x'))\n"
        "script = 'mkdir d; touch d/new x'",
    )
    (store / "d").mkdir(parents=True)
    (store / "d/old").touch()
    ran(making)
    assert ["new"] == [path.name for path in (store / "d").iterdir()]


def test_relative_links_and_scratch(tmp_path: Path) -> None:
    """A task that runs on the node's disk finds its inputs there."""
    (tmp_path / "in.txt").write_text("in")
    making = making_of(
        tmp_path,
        f"Process, scratch='{tmp_path}', stageInMode='rellink'):\n"
        "x: In[Path]\ny: Out[Path] = out(path('y'))\nscript = 'cat ${x} > y'",
        f"Path('{tmp_path}/in.txt')",
    )
    ran(making)
    assert "in" == (making.work / "y").read_text()


def test_an_input_that_cannot_be_linked(tmp_path: Path) -> None:
    """The message names the file and the mode."""
    (tmp_path / "in").mkdir()
    making = making_of(
        tmp_path,
        "Process, stageInMode='link'):\nx: In[Path]\nscript = 'true'",
        f"Path('{tmp_path}/in')",
    )
    with pytest.raises(DslError, match=r'in cannot be put .* stageInMode="link"'):
        ran(making)

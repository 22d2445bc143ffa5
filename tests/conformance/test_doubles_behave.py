"""One table for Enroot and one for pyxis: the doubles answer as the real ones do.

The rows are asked of the doubles everywhere, and of the real ones where they are installed, so
that a double cannot drift from what it stands for.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr import proc
from tests.doubles import search
from tests.doubles.node import srun
from tests.doubles.node.pyxis_options import long_options
from tests.doubles.rows import COMMANDS, NO_SUCH, START, STEP, WITHOUT_IMAGE, Row, name_of

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.lab import Lab

#: Kills the process that serves the image of this test's container, and no other.
END_SERVER = """
for p in /proc/[0-9]*; do
  if grep -qs {image} $p/cmdline && grep -qs squashfuse $p/comm; then kill ${p#/proc/}; fi
done
"""
NEEDS_VALUE = "requires an argument"
pytest_plugins = ["tests.doubles.fixtures"]

OPTIONS = ("image", "mounts", "workdir", "name", "save", "env", "unshare", "mount-home", "writable")


@dataclass(frozen=True)
class Engine:
    """A program under test.

    Args:
        words: How a command line begins.
        env: Its environment, but for what a row adds.
        places: What stands for `{…}` in a row.
    """

    words: tuple[str, ...]
    env: dict[str, str]
    places: dict[str, str]

    def fill(self, text: str) -> str:
        """Put paths in the place of `{…}`; other braces stay."""
        for name, place in self.places.items():
            text = text.replace("{" + name + "}", place)
        return text

    def run(self, *words: str, env: dict[str, str] | None = None) -> proc.Completed:
        """Run one command line."""
        own = {name: self.fill(text) for name, text in (env or {}).items()}
        argv = [self.fill(word) for word in (*self.words, *words)]
        return proc.run(argv, env=self.env | own, cwd=self.places["source"])

    def check(self, row: Row, *before: str) -> None:
        """Ask for a row's answer and compare it."""
        done = self.run(*before, *row.words, env=row.env)
        assert (row.code, sorted(self.fill(row.out).splitlines())) == (
            done.code,
            sorted(done.out.splitlines()),
        ), done.err
        missing = [text for text in map(self.fill, row.err) if text not in done.err]
        assert missing == [], done.err
        assert row.err or not relevant(done.err), done.err


def relevant(err: str) -> str:
    """Return errors without what srun says of waiting for its allocation."""
    lines = err.splitlines()
    return "\n".join(
        line for line in lines if "queued and waiting" not in line and "has been" not in line
    )


@pytest.fixture(scope="module")
def places(
    tmp_path_factory: pytest.TempPathFactory, tiny_image: Path, tiny_registry_image: Path
) -> dict[str, str]:
    """Return what stands for `{…}` in the rows: images good and bad, and files to mount."""
    folder = tmp_path_factory.mktemp("places")
    source = folder / "source"
    source.mkdir()
    for name, text in {"file": "one\n", "marker": "of the host\n", "script": "echo ran\n"}.items():
        (source / name).write_text(text)
    colon = folder / "a:b"
    colon.mkdir()
    (colon / "file").write_text("one\n")
    half, junk, config, rc = (folder / name for name in ("half.sqsh", "junk.sqsh", "config", "rc"))
    half.write_bytes(tiny_image.read_bytes()[:100_000])
    junk.write_bytes(b"not an image\n" * 100)
    config.write_text(
        f'mounts() {{ echo "{colon} /a:b none x-create=auto,rbind,ro"; }}\n'
        'environ() { echo "SAID=by a function"; }\n'
    )
    rc.write_text('exec "$@"\n')
    me = pwd.getpwuid(os.getuid())
    paths = {"image": tiny_image, "registry": tiny_registry_image, "source": source, "half": half}
    paths |= {"junk": junk, "config": config, "rc": rc}
    ids = {"uid": str(os.getuid()), "gid": str(os.getgid()), "home": me.pw_dir}
    return {name: str(path) for name, path in paths.items()} | ids


@pytest.fixture(params=["double", "real"])
def enroot(
    request: pytest.FixtureRequest, places: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Engine:
    """Return Enroot and its double, each with folders of its own."""
    path = search.double_path("enroot")
    if request.param == "real":
        if search.real_program("enroot") is None:
            pytest.skip("Enroot is not installed")
        path = search.real_path()
    folder = tmp_path_factory.mktemp("enroot")
    own = {
        f"ENROOT_{kind}_PATH": str(folder / kind.lower()) for kind in ("RUNTIME", "CACHE", "DATA")
    }
    env = {"PATH": path, "HOME": os.environ["HOME"], "TERM": "dumb", "LEAK": "leak"} | own
    more = {"data": own["ENROOT_DATA_PATH"], "root": f"{own['ENROOT_RUNTIME_PATH']}/overlay"}
    return Engine(("enroot",), env, places | more)


@pytest.fixture(params=["double", "real"])
def pyxis(request: pytest.FixtureRequest, lab: Lab, places: dict[str, str]) -> Engine:
    """Return pyxis and its double, on the lab's Slurm."""
    if request.param == "real" and not lab.settings.plugstack:
        pytest.skip("pyxis is not installed")
    path = search.double_path("pyxis", "enroot")
    path = search.real_path() if request.param == "real" else path
    env = {**lab.environ, "PATH": path, "HOME": os.environ["HOME"], "LANG": "C.UTF-8"}
    return Engine(("srun", "--mem=100"), env | {"LEAK": "leak"}, places)


@pytest.mark.parametrize("row", START, ids=name_of)
def test_enroot_start_answers(enroot: Engine, row: Row) -> None:
    """Enroot and its double start the same container and fail with the same words."""
    enroot.check(row, "start")


def test_enroot_keeps_containers(enroot: Engine) -> None:
    """A container is made once, started by its name, listed, saved and removed."""
    data = enroot.places["data"]
    assert enroot.run("create", "--name", "kept", "{image}").ok
    assert (
        f"[ERROR] File already exists: {data}/kept\n"
        == enroot.run("create", "-n", "kept", "{image}").err
    )
    assert enroot.run("start", "--rw", "kept", "sh", "-c", "echo mine >/mine").ok
    assert "mine\n" == enroot.run("start", "kept", "cat", "/mine").out
    assert "kept\n" == enroot.run("list").out
    assert "NAME" == enroot.run("list", "-f").out.split()[0]
    assert enroot.run("export", "-o", f"{data}/../saved.sqsh", "kept").ok
    assert "mine\n" == enroot.run("start", f"{data}/../saved.sqsh", "cat", "/mine").out
    assert 1 == enroot.run("remove", "kept").code
    assert enroot.run("remove", "--force", "kept").ok
    assert f"[ERROR] {NO_SUCH}: {data}/kept\n" == enroot.run("remove", "-f", "kept").err


@pytest.mark.parametrize(
    "row",
    COMMANDS,
    ids=name_of,
)
def test_enroot_commands_answer(enroot: Engine, row: Row) -> None:
    """Enroot's other commands and their doubles fail with the same words."""
    enroot.check(row)


def test_enroot_prints_its_version(enroot: Engine) -> None:
    """`enroot version` prints three numbers and nothing else."""
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", enroot.run("version").out)


def test_enroot_gives_a_signal_to_the_command(enroot: Engine) -> None:
    """A signal to Enroot's process is the command's, whose root stays whole."""
    trap = "trap 'ls /usr; exit 5' USR1; kill -USR1 $$; sleep 1"
    done = enroot.run("start", "{image}", "sh", "-c", trap)
    assert (5, "bin") == (done.code, done.out.split()[0])


def test_enroot_loses_the_root_with_the_process_that_serves_it(enroot: Engine) -> None:
    """A signal to every process of a job ends squashfuse, and the root is gone with it."""
    if not shutil.which("squashfuse") or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("no squashfuse, or no /dev/fuse")
    done = enroot.run(
        "start", "{image}", "sh", "-c", f"{END_SERVER}; sleep 0.5; id -u && echo whole"
    )
    assert (False, "") == (done.ok, done.out)


@pytest.mark.parametrize("row", STEP, ids=name_of)
def test_pyxis_answers(pyxis: Engine, row: Row) -> None:
    """A step in an image behaves and fails alike under pyxis and its double."""
    pyxis.check(row, "--container-image={image}")


@pytest.mark.parametrize("row", WITHOUT_IMAGE, ids=name_of)
def test_pyxis_answers_without_a_good_image(pyxis: Engine, row: Row) -> None:
    """Pyxis and its double say the same of a bad image, and run on the host without any."""
    pyxis.check(row)


def test_pyxis_keeps_the_image_s_variables(pyxis: Engine) -> None:
    """A variable of the image wins over the host's, unless --container-env names it."""
    words = ("--container-image={registry}", "sh", "-c", 'echo "$FROM_IMAGE"')
    host = {"FROM_IMAGE": "of the\nhost"}
    assert "image value\n" == pyxis.run(*words, env=host).out
    assert "of the\nhost\n" == pyxis.run("--container-env=FROM_IMAGE", *words, env=host).out


def test_pyxis_keeps_named_containers(pyxis: Engine) -> None:
    """A named container outlives its step, and its image is not looked at again."""
    name = f"--container-name=conformance-{os.getpid()}"
    write = ("--container-writable", "sh", "-c", "echo mine >/mine")
    assert pyxis.run(name, "--container-image={image}", *write).ok
    assert "mine\n" == pyxis.run(name, "--container-image=/nope.sqsh", "cat", "/mine").out
    assert "mine\n" == pyxis.run(f"{name}:no_exec", "cat", "/mine").out
    assert "already exists" in pyxis.run(f"{name}:create", "--container-image={image}", "true").err
    assert "is not running" in pyxis.run(f"{name}:exec", "true").err
    proc.run(["enroot", "remove", "-f", f"pyxis_{name.partition('=')[2]}"], env=pyxis.env)


def test_pyxis_saves_a_container(pyxis: Engine, tmp_path: Path) -> None:
    """A container is saved at the end of its step, as an image that can be started."""
    saved = tmp_path / "saved.sqsh"
    options = ("--container-image={image}", f"--container-save={saved}", "--container-writable")
    done = pyxis.run(*options, "sh", "-c", "echo mine >/mine")
    assert (0, True) == (done.code, "pyxis: exported container" in done.err), done.err
    assert "mine\n" == pyxis.run(f"--container-image={saved}", "cat", "/mine").out


def test_srun_help_lists_the_options(pyxis: Engine) -> None:
    """The help text of srun shows every option of pyxis."""
    shown = pyxis.run("--help").out
    assert [] == [name for name in OPTIONS if f"--container-{name}" not in shown]


def test_the_double_knows_which_options_of_srun_take_a_value(lab: Lab) -> None:
    """The double's list of options without a value is that of the installed srun."""
    env = {**lab.environ, "PATH": search.real_path()}
    shown = proc.run(["srun", "--help"], env=env).out
    names = set(re.findall(r"^ +(?:-\w, +)?--([a-z-]+)", shown, re.MULTILINE))
    own = sorted(names - long_options().keys())
    alone = [
        name for name in own if NEEDS_VALUE not in proc.run(["srun", f"--{name}"], env=env).err
    ]
    assert len(own) > 50
    assert [name for name in own if name in srun.LONG_WITHOUT_VALUE] == alone


def test_srun_without_pyxis_refuses_its_options(lab: Lab) -> None:
    """Where neither pyxis nor its double is there, srun itself does not know the options."""
    if lab.settings.plugstack:
        pytest.skip("this Slurm has the real pyxis")
    env = {**lab.environ, "PATH": search.real_path()}
    done = proc.run(["srun", "--container-image=/x.sqsh", "true"], env=env)
    assert (255, True) == (done.code, "unrecognized option '--container-image=" in done.err)

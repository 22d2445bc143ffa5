"""The doubles of Enroot and pyxis: what they read, refuse and write, without a container."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles import search
from tests.doubles.node import enroot, kernel, pyxis_options, srun, store, variables
from tests.doubles.node.fstab import Entry, MountError, parse_fstab, resolve
from tests.doubles.node.pyxis_container import start_config
from tests.doubles.node.pyxis_options import Mount, OptionError, Options, collect, parse_mounts
from tests.doubles.node.pyxis_state import task_counts
from tests.doubles.node.pyxis_step import command_environment, find_command, shown_command

if TYPE_CHECKING:
    from pathlib import Path

AUTO = ("rbind", "x-create=auto")
WORDS = st.lists(st.text(st.characters(exclude_characters="\0")), min_size=1)


# --- Enroot -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("/src", Entry("/src", "/src", "none", AUTO)),
        ("/src /dst", Entry("/src", "/dst", "none", AUTO)),
        ("/src /dst bind,ro", Entry("/src", "/dst", "none", ("bind", "ro"))),
        ("/src /dst ro", Entry("/src", "/dst", "none", ("ro",))),
        ("/src bind", Entry("/src", "/src", "none", ("bind",))),
        ("/src /a,b", Entry("/src", "/src", "none", ("/a", "b"))),
        ("tmpfs /scr", Entry("tmpfs", "/scr", "tmpfs", ())),
        ("none /pts devpts", Entry("none", "/pts", "devpts", ())),
        ("/a /b none rbind 0 -1", Entry("/a", "/b", "none", ("rbind",), -1)),
        (r"/a\040b /c none bind", Entry(r"/a\040b", "/c", "none", ("bind",))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mount_line_may_leave_fields_out(line: str, entry: Entry) -> None:
    """Missing fields of a mount line are guessed as Enroot guesses them."""
    assert [entry] == parse_fstab(f"# a comment\n\n{line}\n")


def test_a_mount_line_needs_a_target() -> None:
    """A file system without a place to mount it is no mount line."""
    with pytest.raises(MountError, match="invalid fstab entry"):
        parse_fstab("tmpfs")


def test_options_become_flags_and_data() -> None:
    """Known options are flags of mount(2), the last word counts; others go to the file system."""
    entry = Entry("tmpfs", "/t", "tmpfs", ("ro", "nosuid", "rw", "mode=755", "x-create=dir"))
    assert (kernel.MS_NOSUID, "mode=755") == (entry.flags, entry.data)


def test_a_link_stays_inside_the_root(tmp_path: Path) -> None:
    """Absolute links and `..` in a container's path start again at the container's root."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "up").symlink_to("../../../etc")
    root = str(tmp_path)
    assert [f"{root}/run/lock", f"{root}/etc/x", f"{root}/new/place"] == [
        resolve(root, path) for path in ("/var/run/lock", "/up/x", "/a/../new//./place")
    ]


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    """A link that leads to itself is an error, not an endless loop."""
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="Too many levels"):
        resolve(str(tmp_path), "/loop")


@pytest.mark.parametrize(
    ("given_lines", "kept"),
    [
        ("A=1\n", "A=1\n"),
        ("  A=1\n", "A=1\n"),
        ("A='q'\n", "A=q\n"),
        ('A="a"b"\n', 'A=a"b\n'),
        ('A="q\n', 'A="q\n'),
        ("# A=1\n\nno variable\nB-C=1\nENROOT_X=1\n", ""),
    ],
)
def test_variables_are_tidied(given_lines: str, kept: str) -> None:
    """Only variables stay, without one pair of outer quotes, and none of Enroot's own."""
    assert kept == variables.tidy(given_lines)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z]{1,8}", fullmatch=True), st.from_regex(r"[^\n\0'\"]*", fullmatch=True)
    )
)
def test_plain_variables_come_through(values: dict[str, str]) -> None:
    """Values without newlines and quotes arrive as they are."""
    lines = variables.split_values(f"{name}={value}" for name, value in values.items())
    assert values == variables.parse(variables.tidy(variables.declare(lines, {})))


def test_a_newline_begins_another_variable() -> None:
    """What follows a newline in `--env` is read as a variable of its own."""
    lines = variables.split_values(["A=one\nB=two", "HOST"])
    assert ["A=one", "B=two", "HOST"] == lines
    assert "A=one\nB=two\nHOST=here\n" == variables.declare(lines, {"HOST": "here"})


@pytest.mark.parametrize(
    ("line", "good"), [("A", True), ("A=", True), ("1A=x", False), ("", False)]
)
def test_a_variable_needs_a_name(line: str, good: bool) -> None:  # noqa: FBT001 (a column)
    """`--env` takes a name, or a name and a value."""
    assert good == variables.is_declaration(line)


def test_references_are_replaced() -> None:
    """`${NAME}` in an image's files takes the host's value, `$NAME` stays."""
    assert "x--$A" == variables.substitute("${A}-${NOT_SET}-$A", {"A": "x"})


def test_options_of_enroot_end_at_the_image() -> None:
    """Words after the image are the command's, options or not; both spellings are read."""
    words = ["-e", "A=1", "--env=B", "--rw", "x.sqsh", "ls", "--env", "-r"]
    parsed = enroot.parse(enroot.COMMANDS["start"], words)
    assert {"env": ["A=1", "B"], "rw": ["y"]} == parsed.options
    assert ["x.sqsh", "ls", "--env", "-r"] == parsed.arguments


@pytest.mark.parametrize(
    "words", [["--nosuch"], ["--env"], ["--env="], ["--rw=y"], ["-x"], ["-e=A"]]
)
def test_unknown_options_of_enroot_are_refused(words: list[str]) -> None:
    """An unknown option, a missing or an unwanted value gets the usage text."""
    with pytest.raises(enroot.UsageError):
        enroot.parse(enroot.COMMANDS["start"], words)


@pytest.mark.parametrize(
    ("reference", "host", "name"),
    [
        ("debian", store.HUB, "debian+latest"),
        ("team/app:1", store.HUB, "team+app+1"),
        ("nvcr.io#nvidia/pytorch:24", "nvcr.io", "nvidia+pytorch+24"),
        ("me@nvcr.io#nvidia/cuda", "nvcr.io", "nvidia+cuda+latest"),
        ("localhost:5000/base:1", "localhost", "base+1"),
    ],
)
def test_a_reference_names_a_registry(reference: str, host: str, name: str) -> None:
    """The registry stands before `#`, or before `/` if it has a dot or a port."""
    assert (host, name) == store.registry(reference)


# --- pyxis ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "pyxis", "rest", "command"),
    [
        (["--container-image=i", "ls", "-l"], [("container-image", "i")], [], ["ls", "-l"]),
        (["--container-image", "i", "ls"], [("container-image", "i")], [], ["ls"]),
        (["--container-im=i", "ls"], [("container-image", "i")], [], ["ls"]),
        (["--container=b", "ls"], [], ["--container=b"], ["ls"]),
        (["--container", "b", "ls"], [], ["--container", "b"], ["ls"]),
        (["-n", "2", "-c4", "ls"], [], ["-n", "2", "-c4"], ["ls"]),
        (["-lun", "2", "ls"], [], ["-lun", "2"], ["ls"]),
        (["-K", "ls"], [], ["-K"], ["ls"]),
        (["--mem", "1G", "--pty", "ls"], [], ["--mem", "1G", "--pty"], ["ls"]),
        (["--exclusive", "ls"], [], ["--exclusive"], ["ls"]),
        (["--", "--container-image=i"], [], [], ["--container-image=i"]),
        (["-"], [], [], ["-"]),
        (["--con=x", "ls"], [], ["--con=x"], ["ls"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_a_command_line_of_srun_is_sorted(
    words: list[str], pyxis: list[tuple[str, str | None]], rest: list[str], command: list[str]
) -> None:
    """Options of pyxis are taken out, srun's own stay with their values, the command begins."""
    assert srun.Words(pyxis, rest, command) == srun.split(words)


@given(WORDS)
def test_the_command_is_left_alone(command: list[str]) -> None:
    """After `--`, any words are the command, whatever they look like."""
    assert command == srun.split(["--container-writable", "--", *command]).command


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--container-image", "option '--container-image' requires an argument"),
        ("--container-writable=y", "option '--container-writable' doesn't allow an argument"),
    ],
)
def test_values_of_options_are_checked(word: str, said: str) -> None:
    """A missing and an unwanted value are refused in srun's words."""
    with pytest.raises(OptionError) as error:
        srun.split([word])
    assert said == str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("image", "", "pyxis: --container-image: argument required"),
        ("mounts", ":/x", "pyxis: --container-mounts: invalid format: :/x"),
        ("mounts", "a:/x", "pyxis: could not add mount entry: a:/x"),
        ("mounts", "/a:b", "pyxis: could not add mount entry: /a:b"),
        ("name", ":auto", "pyxis: --container-name: empty name"),
        ("name", "n:x", 'flag must be "auto", "create", "exec" or "no_exec"'),
        ("save", "/d/", "pyxis: --container-save: target is a directory"),
        ("env", "A,,B", "pyxis: --container-env: invalid format: A,,B"),
        ("unshare", "pid", "pyxis: --container-unshare: unknown namespace 'pid'"),
    ],
)
def test_values_that_pyxis_refuses(name: str, value: str, said: str) -> None:
    """A bad value is refused before srun asks for resources, and srun repeats it."""
    with pytest.raises(OptionError) as error:
        collect([(f"container-{name}", value)])
    lines = error.value.args
    assert said in "\n".join(lines)
    assert f"Invalid --container-{name} argument: {value}" == lines[-1]


def test_only_one_image_is_taken() -> None:
    """The same image twice is one, two of them are refused."""
    assert {"image": "a"} == collect([("container-image", "a")] * 2).values
    with pytest.raises(OptionError, match="specified multiple times"):
        collect([("container-image", "a"), ("container-image", "b")])


def test_opposite_switches_are_refused() -> None:
    """A switch and its opposite cannot both be given."""
    with pytest.raises(OptionError, match="both --container-writable and --container-readonly"):
        collect([("container-readonly", None), ("container-writable", None)])


def test_the_last_mounts_replace_the_first() -> None:
    """Only the last value of an option reaches the node."""
    options = collect([("container-mounts", "/a"), ("container-mounts", "/b")])
    assert [Mount("/b", "/b", "x-create=auto,rbind")] == parse_mounts(options.values["mounts"])


def test_mounts_are_read() -> None:
    """Flags are joined with `+`, memory and unmounting have flags of their own."""
    assert [
        Mount("/a", "/b", "x-create=auto,rbind,ro,rprivate"),
        Mount("tmpfs", "/s", "x-create=dir"),
        Mount("umount", "/tmp", "x-detach"),
    ] == parse_mounts("/a:/b:ro+rprivate,tmpfs:/s,umount:/tmp")


def test_variables_stand_for_options_that_are_not_given() -> None:
    """PYXIS_CONTAINER_… gives options; the command line is stronger, nonsense is said."""
    options = collect([("container-image", "mine"), ("container-readonly", None)])
    said = pyxis_options.add_variables(
        options,
        {
            "PYXIS_CONTAINER_IMAGE": "other",
            "PYXIS_CONTAINER_WORKDIR": "/w",
            "PYXIS_CONTAINER_WRITABLE": "yes",
            "PYXIS_CONTAINER_MOUNT_HOME": "maybe",
            "PYXIS_CONTAINER_REMAP_ROOT": "1",
            "PYXIS_CONTAINER_SAVE": "/d/",
        },
    )
    assert {"image": "mine", "workdir": "/w"} == options.values
    assert {"writable": False, "remap_root": True} == options.switches
    assert ("pyxis: --container-save: target is a directory",) == said


def test_options_without_an_image_are_ignored_aloud() -> None:
    """Without an image and a name, pyxis says of each option that it has no effect."""
    options = Options({"mounts": "/a", "env": "A"}, {"mount_home": False, "writable": True})
    lines = pyxis_options.ignored(options)
    shown = [line.split()[2] for line in lines]
    assert ["--container-mounts", "--[no-]container-mount-home", "--container-writable"] == shown
    assert [] == pyxis_options.ignored(Options({"image": "i", "mounts": "/a"}))


def test_the_step_s_program_stands_before_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real srun gets its own options, a step's name, and the double's program."""
    monkeypatch.delenv("SLURM_JOB_NAME", raising=False)
    words = srun.Words([("container-image", "i")], ["-n", "2"], ["/bin/ls", "-l"])
    argv = srun.step_words(words, Options({"image": "i"}))
    assert ["-n", "2", "--job-name=ls"] == argv[:3]
    assert [str(srun.STEP_PROGRAM), '{"values": {"image": "i"}, "switches": {}}'] == argv[5:7]
    assert ["/bin/ls", "-l"] == argv[7:]
    assert ["-n", "2", "/bin/ls", "-l"] == srun.step_words(words, Options())


def test_the_help_shows_every_option() -> None:
    """`srun --help` names all options, and that a double is at work."""
    text = pyxis_options.help_text()
    assert "double of pyxis" in text
    assert [] == [name for name in pyxis_options.long_options() if f"--{name}" not in text]


def test_enroot_gets_a_configuration_from_pyxis() -> None:
    """Mounts, chosen variables and the removal of the entry point travel as bash functions."""
    options = Options({"mounts": "/a b:/c:ro", "env": "A"})
    assert (
        'mounts() {\n  echo "/a\\040b /c x-create=auto,rbind,ro"\n}\n'
        "hooks() {\n  echo 'exec \"$@\"' > ${ENROOT_ROOTFS}/etc/rc.local\n}\n"
        'environ() {\n  [ -z "${A-}" ] || echo "A=${A}"\n}\n'
    ) == start_config(options)
    assert "" == start_config(Options(switches={"entrypoint": True}))


def test_the_image_s_variables_win() -> None:
    """The job's variables enter but for the language; the image wins where none is chosen."""
    job = {"A": "job", "B": "job", "LANG": "de", "LC_ALL": "de", "SLURM_PROCID": "3"}
    options = Options({"env": "B,LC_ALL,NOT_SET"})
    merged = command_environment(options, job, {"A": "image", "B": "image", "LANG": "C"})
    own = {"A": "image", "B": "job", "LANG": "C", "LC_ALL": "de", "SLURM_PROCID": "3"}
    assert own == merged


def test_pytorch_images_get_ranks() -> None:
    """An image that sets PYTORCH_VERSION gets the ranks of its tasks."""
    job = {"SLURM_PROCID": "3", "SLURM_LOCALID": "1"}
    merged = command_environment(Options(), job, {"PYTORCH_VERSION": "2"})
    assert ("3", "1") == (merged["RANK"], merged["LOCAL_RANK"])


def test_a_command_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is searched on PATH, executable or not; a path is taken as it is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tool").touch()
    path = {"PATH": f"/nowhere:{tmp_path}"}
    assert [f"{tmp_path}/tool", "nosuch", f"{tmp_path}/./tool", "/a/tool"] == [
        find_command(name, path) for name in ("tool", "nosuch", "./tool", "/a/tool")
    ]


def test_a_bad_interpreter_is_named(tmp_path: Path) -> None:
    """A script whose interpreter is missing is told apart from a missing script."""
    script = tmp_path / "script"
    script.write_text("#!/no/such\n")
    problem = FileNotFoundError(2, "No such file or directory")
    said = [shown_command(path, problem) for path in (str(script), "/x")]
    assert "bad interpreter(/no/such): No such file or directory" == said[0]
    assert "/x: No such file or directory" == said[1]


@pytest.mark.parametrize(("text", "counts"), [("1", [1]), ("2(x3),1", [2, 2, 2, 1]), ("", [])])
def test_tasks_per_node_are_read(text: str, counts: list[int]) -> None:
    """Slurm's short form of a list of numbers is written out."""
    assert counts == task_counts(text)


# --- where they are found ---------------------------------------------------------------


def test_the_doubles_are_named_as_such() -> None:
    """Each program says in its second line what it is, and can be executed."""
    for path in (search.FOLDER / "enroot/enroot", search.FOLDER / "pyxis/srun"):
        assert "# Double of " in path.read_text().splitlines()[1]
        assert stat.S_IXUSR & path.stat().st_mode


def test_doubles_stand_before_the_rest_of_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with doubles begins with them, once, however often it is asked for."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    wanted = f"{search.FOLDER}/enroot:/usr/bin:/bin"
    assert wanted == search.double_path("enroot")
    monkeypatch.setenv("PATH", wanted)
    assert wanted == search.double_path("enroot")
    assert "/usr/bin:/bin" == search.real_path()


def test_a_missing_engine_has_a_double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where nothing is installed, doubles take the place of Enroot and pyxis, of no other."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [True, True, False] == [search.is_double(name) for name in ("enroot", "pyxis", "host")]
    assert [f"{search.FOLDER}/pyxis", f"{search.FOLDER}/enroot", str(tmp_path)] == (
        search.engines_path().split(os.pathsep)
    )


def test_a_real_engine_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installed Enroot is used itself."""
    program = tmp_path / "enroot"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (str(program), False) == (search.real_program("enroot"), search.is_double("enroot"))

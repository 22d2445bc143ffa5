"""What Enroot 4.1.2 and pyxis 0.24 answer to command lines, and so their doubles."""

from __future__ import annotations

from dataclasses import dataclass, field

NO_SUCH = "No such file or directory"
NO_GPU_TOOL = "[ERROR] Command not found: nvidia-container-cli"
MEET = "touch /tmp/$SLURM_PROCID; until [ -e /tmp/0 -a -e /tmp/1 ]; do sleep 0.1; done; ls /tmp"
SPANK = "spank: required plugin spank_pyxis.so: task_init() failed with rc=-1"


@dataclass(frozen=True)
class Row:
    """A command line and its answer; `{image}` and the like stand for paths.

    Args:
        name: Shown by pytest.
        words: The arguments.
        code: Exit code.
        out: All that is printed.
        err: Texts among what is printed as errors; nothing may be printed if there are none.
        env: Variables of the engine's process.
    """

    name: str
    words: tuple[str, ...]
    code: int = 0
    out: str = ""
    err: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


def inside(name: str, text: str, out: str, *options: str, err: str = "") -> Row:
    """Return a row in which the image's shell runs a text."""
    errors = (err,) if err else ()
    return Row(name, (*options, "{image}", "sh", "-c", text), out=out, err=errors)


def refused(name: str, err: str, *words: str, code: int = 1) -> Row:
    """Return a row that fails and prints nothing but errors."""
    return Row(name, words, code, err=(err,))


#: What `enroot start` answers.
START = (
    inside("the image's files", "cat /etc/in-the-image", "yes\n"),
    inside("a login shell resets PATH", "echo $PATH", "/usr/local/bin:/usr/bin:/bin\n"),
    inside("the home, empty", 'echo "$PWD" "$HOME"', "{home} {home}\n"),
    inside("the user's ids", "id -u; id -g", "{uid}\n{gid}\n"),
    inside("root", 'id -u; echo "$HOME"', "0\n/root\n", "--root"),
    inside("fresh folders", "ls /tmp; touch /tmp/x /run/x && echo ok", "ok\n"),
    inside("read-only", "touch /x || echo no", "no\n", err="Read-only file system"),
    inside("writable", "touch /x && echo ok", "ok\n", "--rw"),
    Row(
        "arguments as they are",
        ("{image}", "sh", "-c", 'echo "$0|$1"', "a  b", "$HOME `id` 'q'"),
        out="a  b|$HOME `id` 'q'\n",
    ),
    inside("no variable of the host", 'echo "${LEAK-none}"', "none\n"),
    inside("a variable's text", 'echo "$A"', "x y=z,c:d\n", "--env", "A=x y=z,c:d"),
    inside("a variable of the host by name", 'echo "$LEAK"', "leak\n", "--env=LEAK"),
    inside("a newline ends a value", 'echo "$A$B"', "onetwo\n", "-e", "A=one\nlost", "-e", "B=two"),
    inside("outer quotes are lost", 'echo "$A"', "q\n", "--env", "A='q'"),
    inside("Enroot's own are dropped", 'echo "${ENROOT_A-none}"', "none\n", "-e", "ENROOT_A=1"),
    inside("a folder", "cat /new/place/file", "one\n", "--mount", "{source}:/new/place"),
    inside("a file", "cat /new/file", "one\n", "--mount", "{source}/file:/new/file"),
    inside(
        "a read-only folder",
        "touch /s/x || echo no",
        "no\n",
        "--mount={source}:/s:none:x-create=auto,rbind,ro",
        err="Read-only file system",
    ),
    inside(
        "a colon by configuration",
        'cat /a:b/file; echo "$SAID"',
        "one\nby a function\n",
        "--conf={config}",
    ),
    Row("the exit code", ("{image}", "sh", "-c", "exit 7"), 7),
    Row("a signal", ("{image}", "sh", "-c", "kill -TERM $$"), -15),
    Row("a command script", ("--rc={rc}", "{registry}", "pwd"), out="{home}\n"),
    Row(
        "an image's own script",
        ("{registry}", "sh", "-c", 'echo "$PWD $FROM_IMAGE"'),
        out='entry point: sh -c echo "$PWD $FROM_IMAGE"\n/srv/work image value\n',
    ),
    Row(
        "the image's PATH without a login shell",
        ("--rc={rc}", "{registry}", "sh", "-c", "echo $PWD $PATH"),
        out="/ /opt/image/bin:/usr/bin\n",
        env={"ENROOT_LOGIN_SHELL": "no"},
    ),
    Row(
        "the home, mounted",
        ("{image}", "sh", "-c", "cat marker"),
        out="of the host\n",
        env={"ENROOT_MOUNT_HOME": "y", "HOME": "{source}"},
    ),
    Row("no GPU", ("{image}", "true"), env={"NVIDIA_VISIBLE_DEVICES": "void"}),
    Row("a file that is a script", ("--mount={source}:/s", "{image}", "/s/script"), out="ran\n"),
    refused("unknown command", "exec: nosuch: not found\n", "{image}", "nosuch", code=127),
    refused("unknown path", f"/no/such: {NO_SUCH}\n", "{image}", "/no/such", code=127),
    refused("missing image", "[ERROR] Invalid argument: /x.sqsh\n", "/x.sqsh", "true"),
    refused("missing name", f"[ERROR] {NO_SUCH}: {{data}}/x.sqsh\n", "x.sqsh", "true"),
    refused("half an image", "[ERROR] Failed to mount: {half}\n", "{half}", "true"),
    refused("not an image", "[ERROR] Invalid argument: {junk}\n", "{junk}", "true"),
    refused("a folder as image", "[ERROR] Invalid argument: {source}\n", "{source}", "true"),
    refused(
        "a missing source", f"at {{root}}/x: {NO_SUCH}\n", "--mount=/nope:/x", "{image}", "true"
    ),
    refused(
        "ro is a type", f"at {{root}}/s: {NO_SUCH}\n", "-m", "{source}:/s:ro", "{image}", "true"
    ),
    refused("a space", "[ERROR] Invalid argument: /a b:/s\n", "-m", "/a b:/s", "{image}", "true"),
    refused("a colon", f"at {{root}}/b: {NO_SUCH}\n", "-m", "{source}:b:/s", "{image}", "true"),
    refused(
        "a bad variable", "[ERROR] Invalid argument: 1A=x\n", "--env", "1A=x", "{image}", "true"
    ),
    refused("a missing configuration", f"[ERROR] {NO_SUCH}: /nope\n", "-c", "/nope", "{image}"),
    refused("a missing script", f"[ERROR] {NO_SUCH}: /nope\n", "--rc", "/nope", "{image}"),
    Row("a GPU", ("{image}", "true"), 1, "", (NO_GPU_TOOL,), {"NVIDIA_VISIBLE_DEVICES": "all"}),
    refused("a GPU by variable", NO_GPU_TOOL, "-e", "NVIDIA_VISIBLE_DEVICES=0", "{image}", "true"),
)

#: What `srun` answers; `--container-image={image}` stands before all but the last ones.
STEP = (
    Row("the image's files", ("cat", "/etc/in-the-image"), out="yes\n"),
    Row("the host's variables enter", ("sh", "-c", "echo $LEAK"), out="leak\n"),
    Row("but for the language", ("sh", "-c", 'echo "${LANG-none}"'), out="none\n"),
    Row(
        "a login shell resets PATH",
        ("sh", "-c", "echo $PATH"),
        out="/usr/local/bin:/usr/bin:/bin\n",
    ),
    Row("the home, empty", ("--chdir=/usr", "sh", "-c", "pwd"), out="{home}\n"),
    Row("a folder to start in", ("--container-workdir", "/usr", "sh", "-c", "pwd"), out="/usr\n"),
    Row("fresh folders", ("sh", "-c", "touch /tmp/x && echo ok"), out="ok\n"),
    Row("root", ("--container-remap-root", "id", "-u"), out="0\n"),
    Row("writable", ("--container-writable", "sh", "-c", "touch /x && echo ok"), out="ok\n"),
    Row(
        "two mounts",
        ("--container-mounts={source}:/s:ro,{source}/file:/f", "cat", "/s/file", "/f"),
        out="one\none\n",
    ),
    Row(
        "memory",
        ("--container-mounts=tmpfs:/scr", "sh", "-c", "touch /scr/x && echo ok"),
        out="ok\n",
    ),
    Row(
        "options end at the command",
        ("sh", "-c", 'echo "$1"', "sh", "--container-image=x"),
        out="--container-image=x\n",
    ),
    Row(
        "tasks share it",
        ("-n2", "sh", "-c", "touch /tmp/$SLURM_PROCID; sleep 1; ls /tmp"),
        out="0\n1\n0\n1\n",
    ),
    refused("the exit code", "Exited with exit code 7", "sh", "-c", "exit 7", code=7),
    refused("a signal", "task 0: Killed", "sh", "-c", "kill -9 $$", code=137),
    refused("unknown command", f"execve(): nosuch: {NO_SUCH}", "nosuch", code=2),
    refused(
        "not executable",
        "execve(): /s/script: Permission denied",
        "--container-mounts={source}:/s",
        "/s/script",
        code=13,
    ),
    refused(
        "a missing folder",
        f"pyxis: couldn't chdir to /nope: {NO_SUCH}",
        "--container-workdir=/nope",
        "true",
    ),
    refused(
        "a missing source",
        "pyxis: --container-mounts: source path does not exist: /nope",
        "--container-mounts=/nope:/x",
        "true",
    ),
    refused(
        "a comma",
        "pyxis: could not add mount entry: b:/s",
        "--container-mounts=/a,b:/s",
        "true",
        code=255,
    ),
    refused(
        "a colon",
        "pyxis: could not add mount entry: /a:b",
        "--container-mounts=/a:b:/s",
        "true",
        code=255,
    ),
)
WITHOUT_IMAGE = (
    Row(
        "a missing image",
        ("--container-image=/x.sqsh", "true"),
        1,
        err=(
            "pyxis: failed to create container filesystem for image: /x.sqsh",
            f"pyxis:     [ERROR] {NO_SUCH}: /x.sqsh",
            SPANK,
        ),
    ),
    Row("half an image", ("--container-image={half}", "true"), 1, err=(SPANK,)),
    Row(
        "not an image",
        ("--container-image={junk}", "true"),
        1,
        err=("pyxis:     [ERROR] Invalid image format: {junk}",),
    ),
    Row(
        "a bare name",
        ("--container-image=nosuch.invalid#x.sqsh", "true"),
        1,
        err=(
            "pyxis: importing docker image: nosuch.invalid#x.sqsh",
            "curl: (6) Could not resolve host: nosuch.invalid",
        ),
    ),
    Row(
        "no image at all",
        ("--container-mounts={source}:/s", "cat", "{source}/file"),
        out="one\n",
        err=("pyxis: ignoring --container-mounts because neither",),
    ),
    Row(
        "an unknown name",
        ("--container-name=nosuch", "true"),
        1,
        err=('a container with name "pyxis_nosuch" does not exist',),
    ),
    Row(
        "an unknown option",
        ("--container-nosuch=1", "true"),
        255,
        err=("unrecognized option '--container-nosuch=1'",),
    ),
    Row("an option's value", ("--container-image", "{image}", "id", "-u"), out="{uid}\n"),
    Row(
        "the value in the environment",
        ("id", "-u"),
        out="{uid}\n",
        env={"PYXIS_CONTAINER_IMAGE": "{image}"},
    ),
    Row(
        "a GPU",
        ("--container-image={image}", "true"),
        1,
        err=(f"pyxis:     {NO_GPU_TOOL}",),
        env={"NVIDIA_VISIBLE_DEVICES": "all"},
    ),
)

#: What Enroot's other commands answer.
COMMANDS = (
    Row(
        "create from a missing image",
        ("create", "/x.sqsh"),
        1,
        err=(f"[ERROR] {NO_SUCH}: /x.sqsh",),
    ),
    Row(
        "create from junk",
        ("create", "{junk}"),
        1,
        err=("[ERROR] Invalid image format: {junk}",),
    ),
    Row(
        "create with a path as name",
        ("create", "-n", "a/b", "{image}"),
        1,
        err=("[ERROR] Invalid argument: a/b",),
    ),
    Row("import a file", ("import", "{image}"), 1, err=("[ERROR] Invalid argument: {image}",)),
    Row(
        "import from nowhere",
        ("import", "docker://nosuch.invalid#x:1"),
        6,
        err=("curl: (6) Could not resolve host: nosuch.invalid",),
    ),
    Row(
        "import onto a file",
        ("import", "-o", "{rc}", "docker://nosuch.invalid#x:1"),
        1,
        err=("[ERROR] File already exists: {rc}",),
    ),
)


def name_of(row: Row) -> str:
    """Return the name of a row, for pytest."""
    return row.name

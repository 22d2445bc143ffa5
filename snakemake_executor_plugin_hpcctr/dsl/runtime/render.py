"""The shell text of a task: its folder, variables, script, and what is kept of its end."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.interpolate import as_text, as_words, scalar
from snakemake_executor_plugin_hpcctr.script.quote import quote, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What runs a script without a `#!` line, unless the directive `shell` says otherwise.
SHELL = ("/bin/bash", "-ue")
ENV_FILE = '"$HPCCTR_CONTROL/command.env"'
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What bash would not take literally in a glob, its wildcards left out.
LITERAL = re.compile(r"[^\w./*?\[\]{},:=+@%^!-]+")
#: Names that mean something to bash or to the task's surroundings: never assigned.
TAKEN = frozenset(
    {"PATH", "HOME", "IFS", "PWD", "OLDPWD", "UID", "EUID", "PPID", "SHELL", "SHELLOPTS", "BASH"}
    | {"BASH_ENV", "BASHOPTS", "ENV", "USER", "TMPDIR", "TMP", "TEMP", "LD_LIBRARY_PATH", "LANG"}
    | {"RANDOM", "SECONDS", "LINENO", "OPTARG", "OPTIND", "REPLY", "PS1", "PS2", "PS4", "LC_ALL"}
    | {"HOSTNAME", "GROUPS", "DIRSTACK", "FUNCNAME", "PIPESTATUS", "PYTHONPATH"}
    | {"CUDA_VISIBLE_DEVICES"}
)


@dataclass(frozen=True)
class Command:
    """Everything that the shell text of a task is made of.

    Args:
        work: The task's folder, absolute.
        control: Folder with its script and what it said, absolute.
        interpreter: Words that run the script.
        exports: Environment variables.
        before: Shell lines before the script.
        after: Shell lines after it, whatever became of it.
        stdin: Whether `control/command.in` is piped into it.
        stdout: Whether what it prints is kept.
        evals: Commands to run after it.
        bin: Folder of the pipeline's programs; "" for none.
        scratch: Folder for running on the node, `$TMPDIR` expanded there; "" for none.
        outputs: What to bring back from there: words of bash, as `glob_word` gives them.
        token: What `control/token` must hold: a task that a killed head left in the queue
            must not run beside the one that took its place.
    """

    work: str
    control: str
    interpreter: tuple[str, ...]
    exports: Mapping[str, str] = field(default_factory=dict)
    before: str = ""
    after: str = ""
    stdin: bool = False
    stdout: bool = False
    evals: Sequence[str] = ()
    bin: str = ""
    scratch: str = ""
    outputs: Sequence[str] = ()
    token: str = ""


def script_text(
    body: str, values: Mapping[str, Any], env_outputs: Sequence[str], *, bash: bool
) -> str:
    """Return the text of the file that the interpreter reads.

    Args:
        body: The script, filled.
        values: Inputs, each a shell variable of its name in bash scripts.
        env_outputs: Variables to keep at the end, in bash scripts.
        bash: Whether the interpreter is bash.
    """
    if not bash:
        return body
    kept = ""
    if env_outputs:
        lines = "".join(f"printf '%s=%s\\0' {name} \"${{{name}-}}\"\n" for name in env_outputs)
        kept = f"\n# outputs that are variables:\nset +u\n{{\n{lines}}} >{ENV_FILE}\n"
    return variables(values) + body + kept


def variables(values: Mapping[str, Any]) -> str:
    """Return bash assignments of inputs: lists become arrays."""
    lines = []
    for name, value in values.items():
        if not NAME.fullmatch(name) or name in TAKEN or isinstance(value, (dict, tuple)):
            continue
        if isinstance(value, list):
            if any(isinstance(part, (dict, list, tuple)) for part in value):
                continue
            lines.append(f"{name}=({' '.join(quote(_text(part)) for part in value)})\n")
        else:
            lines.append(f"{name}={quote(_text(value))}\n")
    return "".join(lines)


def _text(value: Any) -> str:
    return str(value) if hasattr(value, "__fspath__") else scalar(value)


def is_bash(interpreter: Sequence[str]) -> bool:
    """Whether an interpreter reads bash."""
    return any(word.rsplit("/", 1)[-1] == "bash" for word in interpreter[:2])


def show(value: Any, *, bash: bool) -> str:
    """Return a value as `${name}` puts it into a script."""
    if bash:
        return as_words(value)
    if hasattr(value, "__fspath__"):
        return str(value)
    if isinstance(value, (list, tuple)):
        return " ".join(show(part, bash=False) for part in value)
    return as_text(value)


def command_text(command: Command) -> str:
    """Return the bash text that runs a task; its exit code is the script's."""
    parts = [
        f"cd {quote(command.work)} || exit 1\n",
        f"export HPCCTR_CONTROL={quote(command.control)}\n",
        _only_newest(command.token) if command.token else "",
        *(f"export {name}={quote(value)}\n" for name, value in command.exports.items()),
        f"export PATH={quote(command.bin)}:$PATH\n" if command.bin else "",
        _into_scratch(command.scratch) if command.scratch else "",
        command.before.rstrip() + "\n" if command.before else "",
        _script_line(command),
        *(_eval_lines(number, text) for number, text in enumerate(command.evals)),
        _back(command.outputs) if command.scratch else "",
        command.after.rstrip() + "\n" if command.after else "",
        "exit $hpcctr_exit\n",
    ]
    return "".join(parts)


def _only_newest(token: str) -> str:
    return (
        f'[ "$(cat "$HPCCTR_CONTROL/token")" = {quote(token)} ] || {{\n'
        '  echo "hpcctr: a later run has taken this task over" >&2\n  exit 1\n}\n'
    )


def _script_line(command: Command) -> str:
    line = f'{words(command.interpreter)} "$HPCCTR_CONTROL/command.sh"'
    line += ' <"$HPCCTR_CONTROL/command.in"' if command.stdin else " </dev/null"
    if command.stdout:
        return (
            f'{line} >"$HPCCTR_CONTROL/command.out"\nhpcctr_exit=$?\n'
            'cat "$HPCCTR_CONTROL/command.out"\n'
        )
    return f"{line}\nhpcctr_exit=$?\n"


def _eval_lines(number: int, text: str) -> str:
    file = f'"$HPCCTR_CONTROL/command.eval.{number}"'
    return (
        f"if [ $hpcctr_exit -eq 0 ]; then\n  ( {text}\n  ) >{file}\n  hpcctr_exit=$?\n"
        f'  [ $hpcctr_exit -eq 0 ] || echo "the output command failed:" {quote(text)} >&2\nfi\n'
    )


def glob_word(pattern: str) -> str:
    """Return an output's glob as bash takes it with globstar: all but its wildcards is literal."""
    parts = [
        f"**/{part.replace('**', '*')}" if "**" in part and part != "**" else part
        for part in pattern.split("/")
    ]
    return LITERAL.sub(lambda found: quote(found[0]), "/".join(parts))


def _into_scratch(folder: str) -> str:
    return (
        f'hpcctr_work=$PWD\nhpcctr_scratch=$(mktemp -d "{folder}/hpcctr-XXXXXX") || exit 1\n'
        "trap 'rm -rf \"$hpcctr_scratch\"' EXIT\n"
        'cp -a . "$hpcctr_scratch" && cd "$hpcctr_scratch" || exit 1\n'
    )


def _back(outputs: Sequence[str]) -> str:
    listed = " ".join(outputs)
    return (
        "if [ $hpcctr_exit -eq 0 ]; then\n"
        "  shopt -s globstar nullglob dotglob\n"
        f"  for hpcctr_file in {listed}; do\n"
        '    [ -e "$hpcctr_file" ] || continue\n'
        '    [ -e "$hpcctr_work/$hpcctr_file" ] && continue\n'
        '    mkdir -p "$hpcctr_work/$(dirname "$hpcctr_file")" &&\n'
        '      cp -R "$hpcctr_file" "$hpcctr_work/$hpcctr_file" || hpcctr_exit=1\n'
        "  done\nfi\n"
        'cd "$hpcctr_work"\n'
    )

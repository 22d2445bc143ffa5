from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_hpcctr.dsl.runtime.render import (
    Command,
    command_text,
    glob_word,
    is_bash,
    script_text,
    variables,
)
from snakemake_executor_plugin_hpcctr.script.quote import quote


@pytest.mark.parametrize(
    ("value", "use", "expected"),
    [
        (0.1, "$x", "0.1"),
        ("a b'c\"$d", '"$x"', "a b'c\"$d"),
        ([1, "b c"], '"${x[@]}" ${#x[@]}', "1 b c 2"),
        ([], '"${#x[@]}"', "0"),
        (Path("my file"), '"$x"', "my file"),
        (True, "$x", "true"),
        (None, '"[$x]"', "[]"),
        ("x.fq.gz", "${x%.gz}", "x.fq"),
    ],
)
def test_inputs_are_shell_variables(value: Any, use: str, expected: str) -> None:
    """Bash finds each plain input under its name, byte by byte; lists are arrays."""
    text = f"{variables({'x': value})}echo {use}\n"
    done = subprocess.run(["bash", "-ue", "-c", text], capture_output=True, text=True, check=True)
    assert f"{expected}\n" == done.stdout


def test_names_that_mean_something_to_the_shell_are_left_alone() -> None:
    """An input named PATH does not take the commands away; dicts are no shell values."""
    assert "" == variables({"PATH": "x", "IFS": ",", "meta": {"a": 1}, "t": (1, 2)})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("/bin/bash", "-ue"), True),
        (("/usr/bin/env", "bash"), True),
        (("/usr/bin/env", "python3"), False),
        (("Rscript",), False),
    ],
)
def test_who_reads_bash(words: tuple[str, ...], expected: bool) -> None:  # noqa: FBT001
    """Only bash scripts get shell variables."""
    assert expected is is_bash(words)


def run(tmp_path: Path, script: str, **options: Any) -> int:
    """Run a task's command; its control folder is `tmp_path`."""
    work = tmp_path / "work"
    work.mkdir()
    env = options.pop("env_outputs", ())
    (tmp_path / "command.sh").write_text(script_text(script, {}, env, bash=True))
    command = Command(str(work), str(tmp_path), ("/bin/bash", "-ue"), **options)
    return subprocess.run(["bash", "-c", command_text(command)], check=False).returncode


def test_the_exit_code_is_the_scripts(tmp_path: Path) -> None:
    """Whatever runs after it."""
    assert 7 == run(tmp_path, "exit 7\n", after="true", stdout=True)


def test_what_is_kept_of_a_script(tmp_path: Path) -> None:
    """Standard output as it is, variables, and what commands print afterwards."""
    code = run(
        tmp_path,
        "NAME='a\nb'\necho out; touch made\n",
        stdout=True,
        env_outputs=("NAME", "UNSET"),
        evals=("ls",),
    )
    assert 0 == code
    assert "out\n" == (tmp_path / "command.out").read_text()
    assert "NAME=a\nb\0UNSET=\0" == (tmp_path / "command.env").read_text()
    assert "made\n" == (tmp_path / "command.eval.0").read_text()


def test_a_failing_eval_fails_the_task(tmp_path: Path) -> None:
    """An output's command is part of the task."""
    assert 3 == run(tmp_path, "true\n", evals=("exit 3",))


def test_stdin_and_variables(tmp_path: Path) -> None:
    """Stdin is piped in, env is exported, beforeScript runs first."""
    (tmp_path / "command.in").write_text("piped")
    script = 'cat > got; echo "$LEVEL $BEFORE" >> got\n'
    options: dict[str, Any] = {"exports": {"LEVEL": "3 4"}, "before": "export BEFORE=b"}
    assert 0 == run(tmp_path, script, stdin=True, **options)
    assert "piped3 4 b\n" == (tmp_path / "work/got").read_text()


def test_scratch_brings_declared_outputs_back(tmp_path: Path) -> None:
    """The script runs elsewhere; only what is declared comes back."""
    node = tmp_path / "node"
    node.mkdir()
    script = "mkdir -p s; echo 1 > s/a.txt; echo 2 > other; pwd > where.txt\n"
    assert 0 == run(tmp_path, script, scratch=str(node), outputs=("s/*.txt", "where.txt"))
    assert "1\n" == (tmp_path / "work/s/a.txt").read_text()
    assert (tmp_path / "work/where.txt").read_text().startswith(str(node))
    assert not (tmp_path / "work/other").exists()
    assert [] == list(node.iterdir())


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("my file (1).txt", "my file (1).txt"),
        ("$x;`y`'*", "$x;`y`'z"),
        ("~a/{b,c d}/[!x]?", "~a/c d/yz"),
        ("**.txt", "s/deep/a.txt"),
        ("s/**/*.txt", "s/deep/a.txt"),
        ("é*", "é 1"),
    ],
)
def test_scratch_brings_names_back_that_mean_something_to_bash(
    pattern: str, name: str, tmp_path: Path
) -> None:
    """Only the wildcards of an output's glob are bash's."""
    script = f"mkdir -p {quote(str(Path(name).parent))}; echo 1 > {quote(name)}\n"
    assert 0 == run(tmp_path, script, scratch=str(tmp_path), outputs=(glob_word(pattern),))
    assert "1\n" == (tmp_path / "work" / name).read_text()


def test_scratch_without_an_output(tmp_path: Path) -> None:
    """Whether a file may be missing is said where outputs are collected, not by cp."""
    assert 0 == run(tmp_path, "true\n", scratch=str(tmp_path), outputs=("maybe.txt",))


@pytest.mark.parametrize("end", ["exit 3", "kill $PPID; sleep 0.2"])
def test_scratch_is_removed_however_the_task_ends(end: str, tmp_path: Path) -> None:
    """A task that failed or was ended leaves nothing on the node's disk."""
    node = tmp_path / "node"
    node.mkdir()
    assert 0 != run(tmp_path, f"{end}\n", scratch=str(node))
    assert [] == list(node.iterdir())


@pytest.mark.parametrize(("token", "code"), [("now", 0), ("before", 1)])
def test_a_task_that_was_taken_over_does_not_run(token: str, code: int, tmp_path: Path) -> None:
    """What a killed head left in the queue sees that another start took its place."""
    (tmp_path / "token").write_text("now")
    assert code == run(tmp_path, "touch ran\n", token=token)
    assert (code == 0) is (tmp_path / "work/ran").exists()

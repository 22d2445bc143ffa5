"""Processes as classes: what is declared, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_hpcctr.dsl import DslError
from snakemake_executor_plugin_hpcctr.dsl.pipeline import load
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from tests.unit.dsl.planned import call, plan

MAIN = """
@workflow
def main():
    {line}
"""


def made(folder: Path, text: str, line: str) -> Any:
    """Return the plan of some classes and a workflow of one line."""
    return plan(folder, text + MAIN.format(line=line))


CLEAN = """
class p(Process):
    x: In[int]
    files: In[list[Path]] = path("in*.txt", arity="1..*")
    sample: In[tuple[str, Path]] = tuple_(id=val(), reads=path())
    level: In[str] = env("LEVEL")
    mode: Each[str]
    text: Out[tuple[int, Path]] = out(val("x"), path("*.txt"), optional=True, topic="t")
    said: Out[str] = out(stdout())
    var: Out[str] = out(env("NAME"))
    version: Out[str] = out(eval_("tool --version"))
    script = r'''
    echo ${x} $HOME ${y%.gz} $1 $(date) ${id}
    '''
"""
LINE = 'p(1, [Path("/a")], ("s", Path("/r")), "v", ["a", "b"])'


def test_declarations_become_the_plan(tmp_path: Path) -> None:
    """Inputs and outputs stand in the plan as they are declared."""
    found = call(made(tmp_path, CLEAN, LINE), "p")
    assert ["val", "path", "tuple", "env", "val"] == [i.kind for i in found.inputs]
    assert "in*.txt" == found.inputs[1].stage_as
    assert (1, None) == found.inputs[1].arity
    assert ["id", "reads"] == [part.name for part in found.inputs[2].parts]
    assert found.inputs[4].each
    assert [["val", "path"], ["stdout"], ["env"], ["eval"]] == [
        [leaf.kind for leaf in emit.leaves] for emit in found.emits
    ]
    assert found.emits[0].optional
    assert "t" == found.emits[0].topic
    assert 2 == len(found.tasks)


def test_types_alone_say_how_inputs_are_taken(tmp_path: Path) -> None:
    """Path and list[Path] are staged, tuples element by element, all else is a value."""
    text = """
    class p(Process):
        a: In[Path]
        b: In[list[Path]]
        c: In[tuple[str, list[Path]]]
        d: In[list[int]]
        e: In[Path | None]
        script = "true"
    """
    line = 'p(Path("/a"), [Path("/b")], ("x", [Path("/c")]), [1], None)'
    found = call(plan(tmp_path, text + _indented(line)), "p")
    kinds = ["path", "path", "tuple", "val", "path"]
    assert kinds == [i.kind for i in found.inputs]
    assert ["val", "path"] == [part.kind for part in found.inputs[2].parts]
    assert found.inputs[4].optional


def _indented(line: str) -> str:
    return "".join(f"    {row}\n" for row in MAIN.format(line=line).splitlines())


def test_directives_are_inherited(tmp_path: Path) -> None:
    """A base class shares directives; the process's own win; `ext` adds up."""
    text = """
class gpu_step(Process, engine="pyxis", gpu=1, cpus=2, ext={"a": 1}):
    pass

class p(gpu_step, cpus=8, ext={"b": 2}):
    script = "true"
"""
    found = call(made(tmp_path, text, "p()"), "p").directives
    assert {"engine": "pyxis", "gpu": 1, "cpus": 8, "ext": {"a": 1, "b": 2}} == found


def test_dynamic_directives_are_evaluated_for_each_attempt(tmp_path: Path) -> None:
    """A function of the task gives one value per attempt; equal ones stand in the call once."""
    text = """
class p(Process, memory=lambda task: f"{2 * task.attempt} GB", errorStrategy="retry", maxRetries=2):
    x: In[int]
    script = "true"
"""
    found = call(made(tmp_path, text, "p(channel.of(1, 2))"), "p")
    assert [2, 4, 6] == [a["memory"] // 1024**3 for a in found.attempts]
    assert all(not task.directives for task in found.tasks.values())


def test_an_alias_is_a_process_of_its_own(tmp_path: Path) -> None:
    """`alias` gives another name, so that a process can be called twice."""
    text = "class p(Process):\n    x: In[int]\n    script = 'true'\n"
    found = made(tmp_path, text, 'p(1); p.alias("q")(2)')
    assert ["p", "q"] == [c.name for c in found.calls]


def test_stub_replaces_the_script_only_in_the_plan(tmp_path: Path) -> None:
    """A stub stands beside the body."""
    text = "class p(Process):\n    script = 'real'\n    stub = 'touch x'\n"
    body = call(made(tmp_path, text, "p()"), "p").body
    assert body.stub is not None
    assert "touch x\n" == body.stub.text


def test_a_shebang_names_the_interpreter(tmp_path: Path) -> None:
    """The first line may say who reads the script; indentation is removed."""
    text = (
        "class p(Process):\n    script = r'''\n    #!/usr/bin/env python3\n    print(1)\n    '''\n"
    )
    body = call(made(tmp_path, text, "p()"), "p").body
    assert ["/usr/bin/env", "python3"] == body.interpreter
    assert "print(1)\n" == body.text


def test_when_decides_at_plan_time(tmp_path: Path) -> None:
    """A task whose `when` says no is not made."""
    text = """
class p(Process):
    x: In[int]
    script = "true"

    def when(self):
        return self.x > 1
"""
    assert 2 == len(call(made(tmp_path, text, "p(channel.of(1, 2, 3))"), "p").tasks)


def test_qualified_names_follow_workflows(tmp_path: Path) -> None:
    """A process in a nested workflow has that workflow's name in front."""
    text = """
class p(Process):
    x: In[int]
    script = "true"

@workflow
def inner(x):
    p(x)
"""
    assert ["inner:p"] == [c.name for c in made(tmp_path, text, "inner(channel.of(1))").calls]


REFUSED = {
    "a missing input": ("x: In[int]", "p()", "lacks the input `x`"),
    "too many inputs": ("x: In[int]", "p(1, 2)", "got 2 inputs"),
    "an unknown input": ("x: In[int]", "p(y=1)", "which it does not have"),
    "a second call": ("x: In[int]", "p(1); p(2)", "called twice"),
    "a tuple of another length": ("x: In[tuple[int, int]]", "p((1, 2, 3))", "tuple of 2 elements"),
    "no file": ("x: In[Path]", "p(3)", "takes a file"),
    "a relative text for a file": ("x: In[Path]", 'p("a.txt")', "takes a file"),
    "None for a file": ("x: In[Path]", "p(None)", "takes a file"),
    "a reserved name": ("task: In[int]", "p(1)", "cannot be named"),
    "an unknown output": ("x: In[int]", "p(1).nothing", "has no output `nothing`"),
    "an absolute output": ('o: Out[Path] = out(path("/a"))', "p()", "absolute path"),
    "an output without origin": ("o: Out[Path]", "p()", "does not say where it comes from"),
    "one name twice": (
        "x: In[tuple[int, int]] = tuple_(x=val(), y=val())", "p((1, 2))", "declared twice",
    ),
    "an arity": ('o: Out[Path] = out(path("*", arity="many"))', "p()", "an arity cannot be 'many'"),
    "a tuple for each": ("x: Each[tuple[int, int]]", "p([(1, 2)])", "cannot be a tuple"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", REFUSED)
def test_mistakes_are_refused_with_their_place(mistake: str, tmp_path: Path) -> None:
    """Each mistake is an error that names the user's file and line."""
    declared, line, words = REFUSED[mistake]
    text = f"class p(Process):\n    {declared}\n    script = 'true'\n"
    with pytest.raises(DslError) as caught:
        made(tmp_path, text, line)
    assert words in caught.value.what
    assert caught.value.span is not None
    assert str(tmp_path) in caught.value.span.file


@pytest.mark.parametrize(
    ("header", "words", "hint"),
    [
        ("cpu=2", "unknown directive `cpu`", "cpus"),
        ('cpus="2"', "whole number", ""),
        ('memory="lots"', "amount of memory", ""),
        ('errorStrategy="ignor"', "expected one of", ""),
        ("maxForks=lambda task: 2", "cannot be a function", ""),
        ('resourceLimits={"mem": "1 GB"}', "expected limits of cpus, memory", ""),
        ("ext=3", "expected names and values", ""),
        ("label=3", "expected text or a list of texts", ""),
    ],
)
def test_wrong_directives(header: str, words: str, hint: str, tmp_path: Path) -> None:
    """A misspelt directive or a value of the wrong type is named, with what was meant."""
    with pytest.raises(DslError) as caught:
        made(tmp_path, f"class p(Process, {header}):\n    script = 'true'\n", "p()")
    assert words in caught.value.what
    assert hint in caught.value.next_step


def test_an_undeclared_name_in_a_script_near_a_declared_one(tmp_path: Path) -> None:
    """`${sampel}` is an error that proposes `sample`; the shell's own variables are left alone."""
    text = "class p(Process):\n    sample: In[int]\n    script = 'echo ${{sampel}} ${{other}}'\n"
    with pytest.raises(DslError) as caught:
        made(tmp_path, text.replace("{{", "{").replace("}}", "}"), "p(1)")
    assert "did you mean `sample`?" == caught.value.next_step


def test_a_one_item_queue_that_meets_a_longer_one(tmp_path: Path) -> None:
    """The commonest trap is a warning that proposes `.first()`."""
    text = "class p(Process):\n    x: In[int]\n    y: In[int]\n    script = 'true'\n"
    found = made(tmp_path, text, "p(channel.of(1, 2, 3), channel.of(9))")
    assert 1 == len(found.calls[0].tasks)
    assert ".first()" in found.warnings[0]


EMPTY = {
    "a glob that matches nothing": ('p(channel.fromPath("none/*.txt"))', "fromPath"),
    "first on nothing": ("p(channel.fromList([]).first())", "→ first"),
    "on purpose": ("p(channel.empty())", ""),
}


@pytest.mark.parametrize("case", EMPTY)
def test_an_input_that_is_empty(case: str, tmp_path: Path) -> None:
    """A process without tasks is a warning with the channel's history, unless it is on purpose."""
    line, said = EMPTY[case]
    text = "class p(Process):\n    x: In[Path]\n    script = 'true'\n"
    warnings = made(tmp_path, text, line).warnings
    assert bool(said) is bool(warnings)
    assert all("its input `x` is empty" in one and said in one for one in warnings)


def test_only_the_first_of_several_empty_processes_is_named(tmp_path: Path) -> None:
    """What follows from an empty process needs no word of its own."""
    text = (
        "class p(Process):\n    x: In[Path]\n    o: Out[Path] = out(path('o'))\n"
        "    script = 'true'\n"
    )
    line = 'p.alias("q")(p(channel.fromList([])).o)'
    assert 1 == len(made(tmp_path, text, line).warnings)


def test_workflows_do_not_call_themselves(tmp_path: Path) -> None:
    """Recursion is refused."""
    text = "@workflow\ndef a(x):\n    a(x)\n"
    with pytest.raises(DslError, match="calls itself: a → a"):
        made(tmp_path, text, "a(channel.of(1))")


def test_a_topic_gathers_outputs_from_everywhere(tmp_path: Path) -> None:
    """A topic may be read above the calls that feed it."""
    text = """
class p(Process):
    x: In[int]
    log: Out[Path] = out(path("l.txt"), topic="logs")
    script = "true"

class r(Process):
    logs: In[Path]
    script = "true"
"""
    found = made(tmp_path, text, 'r(channel.topic("logs")); p(channel.of(1, 2))')
    assert 2 == len(call(found, "r").tasks)


def test_a_topic_that_feeds_itself(tmp_path: Path) -> None:
    """A process that reads the topic it feeds would never end."""
    text = """
class p(Process):
    x: In[Path]
    log: Out[Path] = out(path("l.txt"), topic="logs")
    script = "true"
"""
    with pytest.raises(DslError, match="read by what feeds it"):
        made(tmp_path, text, 'p(channel.topic("logs"))')


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [("1", "value"), ("channel.of(1)", "queue"), ("channel.value(1)", "value")],
)
def test_values_alone_give_values(arguments: str, kind: str, tmp_path: Path) -> None:
    """A process whose inputs are all values gives values; one queue makes queues."""
    text = (
        "class p(Process):\n    x: In[int]\n    o: Out[Path] = out(path('o'))\n"
        "    script = 'true'\n"
        "kinds = []\n"
    )
    line = f"kinds.append(p({arguments}).o._node.kind); assert kinds == [{kind!r}]"
    made(tmp_path, text, line)


def test_a_known_file_beside_one_to_come_is_checked(tmp_path: Path) -> None:
    """In a tuple with a file that a task has to make, a relative path is absolute all the same."""
    made = plan(
        tmp_path,
        """
        class make(Process):
            file: Out[Path] = out(path("a.txt"))
            script = "touch a.txt"

        class take(Process):
            pair: In[tuple[Path, Path]]
            script = "ls"

        @workflow
        def main():
            take(channel.of(Path("near.txt")).combine(make().file))
        """,
    )
    (task,) = call(made, "take").tasks.values()
    assert {"$path": str(Path("near.txt").absolute())} == task.inputs[0]["$tuple"][0]


@pytest.mark.parametrize("name", ["json", "sys", "yaml"])
def test_a_file_with_the_name_of_a_module_in_use(name: str, tmp_path: Path) -> None:
    """A pipeline does not take the place of a module that others use."""
    file = tmp_path / f"{name}.py"
    file.write_text("")
    there = sys.modules[name]
    with pytest.raises(ConfigError, match=f"cannot have the name of Python's module `{name}`"):
        load(file)
    assert there is sys.modules[name]

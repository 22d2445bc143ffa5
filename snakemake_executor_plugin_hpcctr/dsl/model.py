"""The plan: one JSON document between a front end and Snakemake.

A front end writes it, `snakefile` compiles it, the runtime reads it. Values of items are JSON
with these forms for what JSON lacks (`encode`):

    {"$tuple": [...]}              a tuple
    {"$path": "/data/a.fq"}        a file or folder, absolute
    {"$out": [call, key, emit, leaf]}   what a task gave: emit and leaf as in its manifest
    {"$lazy": [node, [...]]}       a function of the user's code, by the node that holds it
    {"$after": [value, [...]]}     a known value that is absent if one of these is
    {"$map": [[key, value], ...]}  a dict with keys that are not text, or that begin with `$`
    {"$py": [module, name, [...]]} a NamedTuple or dataclass of the user's code
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

#: Of the document's form; raised when an older reader could misread it.
VERSION: Literal[1] = 1
#: Folder of plans, manifests and tasks, within the working directory.
ROOT = ".hpcctr/dsl"
#: The same of stub runs.
STUB_ROOT = f"{ROOT}-stub"

PublishMode: TypeAlias = Literal["symlink", "rellink", "link", "copy", "copyNoFollow", "move"]


class Part(BaseModel):
    """Base of the document's parts: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class Place(Part):
    """Where in the user's code something stands; lines and columns from 1."""

    file: str
    line: int
    column: int = 0
    end_line: int = 0
    end_column: int = 0


class Input(Part):
    """One declared input, or one element of a tuple.

    Args:
        name: Name in the script; "" for an element without one.
        kind: How the task gets it.
        stage_as: Pattern of the name in the task's folder, with `*` and `?`; may hold `${…}`.
        variable: For `env`, the variable's name.
        arity: Smallest and largest number of files; None for no limit; () if not declared.
        each: Whether the process runs for every element of it.
        optional: Whether None is allowed in place of a file.
        parts: Elements of a tuple.
    """

    name: str
    kind: Literal["val", "path", "env", "stdin", "tuple"] = "val"
    stage_as: str = ""
    variable: str = ""
    arity: tuple[int, int | None] | tuple[()] = ()
    each: bool = False
    optional: bool = False
    parts: list[Input] = Field(default_factory=list)


class Leaf(Part):
    """One element of an output.

    Args:
        kind: What it takes: a value, files, the task's standard output, a variable, or what a
            command prints.
        text: Name or `${…}` text (val), glob (path), variable (env), command (eval).
        function: Whether a function of the user's code gives it (`text` is then "").
        arity: As of an input.
        include_inputs: Whether a glob may match staged inputs.
        hidden: Whether `*` matches names that begin with a dot.
        follow_links: Whether `**` goes through links to folders.
        glob: False takes the text as a plain name.
        type: What a glob may match.
        max_depth: How many folders deep `**` looks; None for all.
    """

    kind: Literal["val", "path", "stdout", "env", "eval"]
    text: str = ""
    function: bool = False
    arity: tuple[int, int | None] | tuple[()] = ()
    include_inputs: bool = False
    hidden: bool = False
    follow_links: bool = True
    glob: bool = True
    type: Literal["file", "dir", "any"] | None = None
    max_depth: int | None = None


class Emit(Part):
    """One declared output.

    Args:
        name: Name as an attribute of the call.
        leaves: Its elements; one for an output that is no tuple.
        tuple: Whether items are tuples, though there may be one element.
        optional: Whether the task may end without it.
        topic: Topic that its items feed, or "".
        place: Where it is declared.
    """

    name: str
    leaves: list[Leaf]
    tuple: bool = False
    optional: bool = False
    topic: str = ""
    place: Place | None = None


class Body(Part):
    """What a task runs.

    Args:
        kind: Text, text that a method returns, a template file's text, or Python in the head.
        text: The script as it is written, indentation removed; for `method` and `exec` the
            normalised source, as it enters keys.
        raw: Whether `${…}` is left to the shell.
        interpreter: Words of the first line after `#!`; empty for bash with -ue.
        stub: The body of `--stub` runs.
    """

    kind: Literal["script", "method", "exec"]
    text: str
    raw: bool = False
    interpreter: list[str] = Field(default_factory=list)
    stub: Body | None = None


class Publish(Part):
    """One `publishDir`."""

    path: str
    mode: PublishMode = "symlink"
    pattern: str = ""
    save_as: bool = False
    overwrite: bool | None = None
    enabled: bool = True
    fail_on_error: bool = True


class Task(Part):
    """One task.

    Args:
        index: From 1, in the order of pairing.
        tag: What names it in messages and logs.
        inputs: One encoded value per input of the call.
        needs: Manifests of the tasks whose results it takes, `CALL/KEY`.
        directives: Directives that differ from the call's, per attempt; empty if none does.
    """

    index: int
    tag: str = ""
    inputs: list[Any]
    needs: list[str] = Field(default_factory=list)
    directives: list[dict[str, Any]] = Field(default_factory=list)


class Call(Part):
    """One process call: a wildcard rule.

    Args:
        name: Qualified name, `WORKFLOW:PROCESS`.
        rule: Name of the rule, and of the folder below ROOT.
        place: Where it is called.
        inputs: Declared inputs, in order.
        emits: Declared outputs, in order.
        body: What it runs.
        directives: Those that are the same for all tasks and attempts, in units of `directives`.
        attempts: Directives that are functions but the same for all tasks: one dict per
            attempt; the last one serves all later attempts. Where tasks differ, each has its
            own (`Task.directives`) and this is empty.
        code: Whether a task needs the user's classes and functions when it is made or ends.
        publish: Where its files are published.
        tasks: Key → task.
        waits: Names of barriers before which its tasks are not (all) known.
    """

    name: str
    rule: str
    place: Place
    inputs: list[Input]
    emits: list[Emit]
    body: Body
    directives: dict[str, Any] = Field(default_factory=dict)
    attempts: list[dict[str, Any]] = Field(default_factory=list)
    code: bool = False
    publish: list[Publish] = Field(default_factory=list)
    tasks: dict[str, Task] = Field(default_factory=dict)
    waits: list[str] = Field(default_factory=list)


class Segment(Part):
    """A part of the plan that is written when some tasks have run; a Snakemake checkpoint.

    Args:
        name: Ids of the operators at which the plan stops, joined with `+`.
        operators: Those operators.
        needs: Manifests that they read, `CALL/KEY`; empty where an earlier segment must come
            first to tell.
        places: Where they stand.
        reasons: Why each needs to look at results.
    """

    name: str
    operators: list[str]
    needs: list[str] = Field(default_factory=list)
    places: list[Place] = Field(default_factory=list)
    reasons: list[str] = Field(default_factory=list)


class Channel(Part):
    """A channel, for people: `plan --channels`."""

    id: str
    operator: str
    kind: Literal["queue", "value"]
    place: Place
    sources: list[str]
    items: list[str]


class Plan(Part):
    """The whole document, or the part of it that a segment adds.

    Args:
        version: VERSION.
        file: The pipeline's file, absolute.
        workflow: Name of the entry workflow.
        arguments: Values of its parameters, encoded.
        digest: Identity of everything above and of the code; the same for the same plan.
        stub: Whether it is of a `--stub` run.
        calls: In order of tracing.
        profiles: Profiles of hpcctr.yaml that were chosen.
        root: Folder of manifests and tasks, below the working directory.
        passed: Barriers whose tasks were done when the plan was made.
        segments: What is still to be planned.
        channels: Only where asked for.
        warnings: Sentences for the user.
    """

    version: Literal[1]
    file: str
    workflow: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    digest: str = ""
    stub: bool = False
    root: str = ROOT
    profiles: list[str] = Field(default_factory=list)
    passed: list[str] = Field(default_factory=list)
    calls: list[Call] = Field(default_factory=list)
    segments: list[Segment] = Field(default_factory=list)
    channels: list[Channel] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)


class Produced(Part):
    """A file that a task made: path relative to the working directory, bytes, mtime in ns."""

    path: str
    size: int
    mtime: int


class Manifest(Part):
    """What a task gave; its file is the only output that Snakemake knows.

    Args:
        version: VERSION.
        state: `absent` if it gave nothing, for `reason`.
        reason: Why: `when`, `ignored`, or `input` (an input was absent).
        emits: For each output the values of its leaves, encoded (paths as `{"$path": …}`
            relative to the task's folder); None for an optional output that is not there.
        files: Everything that must still be there for the task to count as done.
        published: Targets of its published files.
        attempt: The attempt that succeeded, from 1.
        exit: Its exit code.
        tag: As in the plan.
    """

    version: Literal[1]
    state: Literal["done", "absent"]
    reason: str = ""
    emits: list[list[Any] | None] = Field(default_factory=list)
    files: list[Produced] = Field(default_factory=list)
    published: list[str] = Field(default_factory=list)
    attempt: int = 1
    exit: int = 0
    tag: str = ""

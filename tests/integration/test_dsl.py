"""Pipelines of the DSL, run by Snakemake: on this machine, and on the lab with real engines."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.workflow import HPCCTR, Result, Running, Workflow, wait_for_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

HEAD = """\
from __future__ import annotations
from pathlib import Path
from snakemake_executor_plugin_hpcctr.dsl import *

"""
EXECUTORS = {
    "local": ("--executor", "local", "-j", "4"),
    "hpcctr": ("--executor", "hpcctr", "--hpcctr-scheduler", "local", "-j", "8"),
}


@dataclass
class Pipeline(Workflow):
    """A working directory with a pipeline in `main.py`."""

    def pipeline(self, text: str) -> None:
        """Write the pipeline."""
        self.write("body.py", text)
        body = (self.folder / "body.py").read_text(encoding="utf-8")
        (self.folder / "main.py").write_text(HEAD + body, encoding="utf-8")

    def start_dsl(self, *words: str, executor: str = "hpcctr") -> Running:
        """Start `hpcctr dsl run main.py`."""
        argv = (*HPCCTR, "dsl", "run", "main.py", *words, "--", *EXECUTORS[executor])
        return Running(argv, self.folder, self.variables())

    def dsl(self, *words: str, executor: str = "hpcctr", timeout_s: float = 100.0) -> Result:
        """Run `hpcctr dsl run main.py` to its end."""
        return self.start_dsl(*words, executor=executor).finish(timeout_s)

    def log(self) -> list[dict[str, Any]]:
        """Return the tasks of the latest run."""
        fields = "process,tag,status,attempt,key"
        said = self.hpcctr("dsl", "log", "--json", "--fields", fields).said
        found: list[dict[str, Any]] = json.loads(said)
        return found

    def statuses(self) -> dict[str, list[str]]:
        """Return the status of each process's tasks, sorted."""
        found: dict[str, list[str]] = {}
        for task in self.log():
            found.setdefault(task["process"], []).append(task["status"])
        return {name: sorted(statuses) for name, statuses in found.items()}

    def texts(self, process: str, name: str) -> list[str]:
        """Return the content of one output file of each task, sorted."""
        files = (self.folder / ".hpcctr/dsl" / process).glob(f"*/work/{name}")
        return sorted(path.read_text() for path in files)


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """Return a folder for a pipeline."""
    return Pipeline(tmp_path)


STAGES = """
class preprocess(Process):
    raw: In[Path]
    clean: Out[Path] = out(path("clean.txt"))
    script = r'''
    grep -v '^#' ${raw} > clean.txt
    '''

class train(Process, cpus=2, memory=lambda task: f"{100 * task.attempt} MB", tag="${lr}"):
    lr: In[float]
    data: In[Path] = path("data.txt")
    model: Out[tuple[float, Path]] = out(val("lr"), path("model_*.txt"))
    script = r'''
    echo "$lr ${task.cpus} ${task.memory} $(wc -l < ${data})" > model_${lr}.txt
    '''

class evaluate(Process):
    models: In[list[Path]]
    report: Out[Path] = out(path("report.txt"))
    script = r'''
    #!/usr/bin/env python3
    names = "${models}".split()
    open("report.txt", "w").write("".join(sorted(open(name).read() for name in names)))
    '''

@workflow
def main(data: Path, rates: list[float] = [0.1, 0.01]):
    clean = preprocess(channel.value(data)).clean
    models = train(channel.of(*rates), clean).model
    evaluate(models.map(lambda lr, file: file).collect())
"""


@pytest.mark.parametrize("executor", EXECUTORS)
def test_three_stages(executor: str, pipeline: Pipeline) -> None:
    """The same pipeline gives the same report with Snakemake's local executor and with hpcctr."""
    pipeline.pipeline(STAGES)
    pipeline.write("data.csv", "# head\n1\n2\n")
    result = pipeline.dsl("--data", "data.csv", executor=executor)
    assert 0 == result.code, result.said
    assert ["0.01 2 100 MB 2\n0.1 2 100 MB 2\n"] == pipeline.texts("evaluate", "report.txt")


def test_a_second_run_has_nothing_to_do(pipeline: Pipeline) -> None:
    """What is done is found by its key; a new parameter value runs only what is new."""
    pipeline.pipeline(STAGES)
    pipeline.write("data.csv", "1\n")
    assert 0 == pipeline.dsl("--data", "data.csv").code
    again = pipeline.dsl("--data", "data.csv")
    assert "Nothing to be done" in again.said
    assert {"cached"} == {s for found in pipeline.statuses().values() for s in found}
    assert 0 == pipeline.dsl("--data", "data.csv", "--rates", "0.1", "0.5").code
    expected = {"preprocess": ["cached"], "train": ["cached", "done"], "evaluate": ["done"]}
    assert expected == pipeline.statuses()


def test_a_missing_result_is_made_again(pipeline: Pipeline) -> None:
    """A task whose manifest was removed runs again, and so does what depends on it."""
    pipeline.pipeline(STAGES)
    pipeline.write("data.csv", "1\n")
    assert 0 == pipeline.dsl("--data", "data.csv", "--rates", "0.1").code
    (manifest,) = (pipeline.folder / ".hpcctr/dsl/train").glob("*.json")
    manifest.unlink()
    assert 0 == pipeline.dsl("--data", "data.csv", "--rates", "0.1").code
    again = {"preprocess": ["cached"], "train": ["done"], "evaluate": ["done"]}
    assert again == pipeline.statuses()


OPTIONAL = """
class make(Process, tag="${n}"):
    n: In[int]
    some: Out[tuple[int, Path]] = out(val("n"), path("x*.txt"), optional=True)
    script = r'''
    [ ${n} -eq 1 ] || { echo ${n} > x1.txt; echo b > x2.txt; }
    '''

class use(Process):
    pair: In[tuple[int, list[Path]]] = tuple_(n=val(), files=path("in?.txt"))
    said: Out[str] = out(stdout())
    listed: Out[str] = out(eval_("ls | tr '\\\\n' ' '"))
    total: Out[str] = out(env("TOTAL"))
    script = r'''
    TOTAL=$(cat ${files} | wc -l)
    echo "n=${n} ${files[0]} ${#files[@]}"
    '''

class show(Process):
    said: In[str]
    listed: In[str]
    total: In[str]
    o: Out[Path] = out(path("o.txt"))
    script = r'''
    echo "$said|$listed|$total" > o.txt
    '''

@workflow
def main():
    first = make(channel.of(1, 2, 3)).some.first()
    used = use(first)
    show(used.said, used.listed, used.total)
"""


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_optional_output_and_a_checkpoint(executor: str, pipeline: Pipeline) -> None:
    """Which item is first is decided when the tasks ran; the plan goes on behind a checkpoint."""
    pipeline.pipeline(OPTIONAL)
    result = pipeline.dsl(executor=executor)
    assert 0 == result.code, result.said
    assert ["n=2 in1.txt 2\n|in1.txt in2.txt |2\n"] == pipeline.texts("show", "o.txt")
    again = pipeline.dsl(executor=executor)
    assert "Nothing to be done" in again.said


FAILURES = """
class flaky(Process, errorStrategy="retry", maxRetries=2, tag="${n}"):
    n: In[int]
    ok: Out[Path] = out(path("ok.txt"))
    script = r'''
    [ ${task.attempt} -ge ${n} ]
    echo "${n} ${task.attempt}" > ok.txt
    '''

class skips(Process, errorStrategy="ignore"):
    n: In[int]
    ok: Out[int] = out(val("n"))
    script = r'''
    test ${n} -ne 2
    '''

class chooses(Process, errorStrategy=lambda task: "retry" if task.exitStatus == 7 else "ignore"):
    n: In[int]
    ok: Out[int] = out(val("n"))
    script = r'''
    [ ${task.attempt} -gt 1 ] || exit ${n}
    '''

class gather(Process):
    numbers: In[list[int]]
    o: Out[Path] = out(path("o.txt"))
    script = r'''
    echo "${numbers[@]}" > o.txt
    '''

@workflow
def main():
    flaky(channel.of(1, 2, 3))
    gather(skips(channel.of(1, 2, 3)).ok.collect())
    gather.alias("chosen")(chooses(channel.of(0, 7, 8)).ok.collect())
"""


@pytest.mark.parametrize("executor", EXECUTORS)
def test_retry_and_ignore(executor: str, pipeline: Pipeline) -> None:
    """Failures are tried again or ignored, as the strategy or a function of the task says."""
    pipeline.pipeline(FAILURES)
    result = pipeline.dsl(executor=executor)
    assert 0 == result.code, result.said
    assert ["1 1\n", "2 2\n", "3 3\n"] == pipeline.texts("flaky", "ok.txt")
    assert ["1 3\n"] == pipeline.texts("gather", "o.txt")
    assert ["0 7\n"] == pipeline.texts("chosen", "o.txt")


MISSING = """
class p(Process):
    o: Out[Path] = out(path("wanted.txt"))
    script = "touch other.txt"

@workflow
def main():
    p()
"""


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_declared_output_that_did_not_come(executor: str, pipeline: Pipeline) -> None:
    """The message names the output, what is in the folder, and the user's line."""
    pipeline.pipeline(MISSING)
    result = pipeline.dsl(executor=executor)
    assert 0 != result.code
    assert not result.shows_traceback
    assert "nothing matches 'wanted.txt'" in result.said
    assert "other.txt" in result.said
    assert "main.py:" in result.said


HEADS = """
class report(Process):
    logs: In[list[Path]] = path("log*")
    all: Out[Path] = out(path("all.txt"))
    script = r'''
    cat ${logs} > all.txt
    echo "${params.greeting}" >> all.txt
    '''

class square(Process):
    n: In[int]
    result = 0
    pair: Out[tuple[int, int]] = out(val("n"), val("result"))

    def exec(self) -> None:
        self.result = self.n * self.n

class show(Process):
    n: In[tuple[int, int]]
    o: Out[Path] = out(path("o"), topic="logs")

    @property
    def words(self) -> str:
        return f"the square of {self.n[0]}"

    def script(self, task: TaskView) -> str:
        return f'''
        echo "{self.words} is {self.n[1]}" > o
        '''

@main.onComplete
def done(run) -> None:
    Path("done.txt").write_text(f"{run.success} {run.counts['done']}")
"""
ENTRY = """
@workflow
def main(greeting: str = "hello"):
    report(channel.topic("logs").collect())
    show(square(channel.of(3, 4)).pair)
"""


def test_python_in_the_head_methods_topics_and_hooks(pipeline: Pipeline) -> None:
    """Exec runs Python, a method makes the script, a topic gathers, onComplete sees the run."""
    text = HEADS.replace("@main.onComplete", f"{ENTRY}\n@main.onComplete")
    pipeline.pipeline(text)
    result = pipeline.dsl("--greeting", "good day")
    assert 0 == result.code, result.said
    expected = "the square of 3 is 9\nthe square of 4 is 16\ngood day\n"
    assert [expected] == pipeline.texts("report", "all.txt")
    assert "True 5" == (pipeline.folder / "done.txt").read_text()


STUB = """
class p(Process):
    o: Out[Path] = out(path("o.txt"))
    script = "exit 1"
    stub = "echo stub > o.txt"

@workflow
def main():
    p()
"""


def test_a_stub_run(pipeline: Pipeline) -> None:
    """`--stub` runs the stubs, in a folder of their own."""
    pipeline.pipeline(STUB)
    assert 0 == pipeline.dsl("--stub").code
    (made,) = (pipeline.folder / ".hpcctr/dsl-stub/p").glob("*/work/o.txt")
    assert "stub\n" == made.read_text()
    assert 0 != pipeline.dsl().code


def test_a_killed_head_continues(pipeline: Pipeline) -> None:
    """What was done before the head was killed is not done again."""
    pipeline.pipeline(
        '''
        class a(Process):
            o: Out[Path] = out(path("a.txt"))
            script = "date +%s%N > a.txt"

        class b(Process):
            x: In[Path]
            o: Out[Path] = out(path("b.txt"))
            script = r"""
            touch $OLDPWD/started
            while [ ! -e $OLDPWD/go ]; do sleep 0.1; done
            touch b.txt
            """

        @workflow
        def main():
            b(a().o)
        '''
    )
    with pipeline.start_dsl() as running:
        wait_for_file(pipeline.folder / "started")
        running.kill()
    first = pipeline.texts("a", "a.txt")
    (pipeline.folder / "go").touch()
    result = pipeline.dsl()
    assert 0 == result.code, result.said
    assert first == pipeline.texts("a", "a.txt")
    assert {"a": ["cached"], "b": ["done"]} == pipeline.statuses()


def test_a_module_of_a_snakefile(pipeline: Pipeline) -> None:
    """A compiled pipeline is an ordinary module, its checkpoints included."""
    pipeline.pipeline(OPTIONAL)
    assert 0 == pipeline.hpcctr("dsl", "compile", "main.py").code
    pipeline.snakefile(
        """
        module pipeline:
            snakefile: ".hpcctr/dsl/Snakefile"

        use rule * from pipeline as p_*

        rule everything:
            default_target: True
            input: rules.p_all.input
            output: "final.txt"
            shell: "cat .hpcctr/dsl/show/*/work/o.txt > {output}"
        """
    )
    result = pipeline.run_local(timeout_s=100.0)
    assert 0 == result.code, result.said
    assert "in1.txt in2.txt" in (pipeline.folder / "final.txt").read_text()


PUBLISH = """
class make(Process, tag="${n}",
           publishDir=[
               publish("results/${n}", mode="copy", pattern="*.txt"),
               publish("logs", saveAs=lambda name: f"{name}.log" if name == "l" else None),
           ]):
    n: In[int]
    text: Out[Path] = out(path("t.txt"))
    log: Out[Path] = out(path("l"))
    script = r'''
    echo ${n} > t.txt; echo log > l
    '''

class keep(Process, storeDir="kept"):
    n: In[int]
    o: Out[Path] = out(path("k${n}.txt"))
    script = r'''
    echo ${n} >> k${n}.txt
    '''

class show(Process):
    x: In[Path]
    o: Out[Path] = out(path("o.txt"))
    script = r'''
    cat ${x} > o.txt
    '''

@workflow
def main(numbers: list[int] = [1]):
    made = make(channel.of(*numbers))
    made.text.map(lambda f: f.read_text().strip()).view(tag="text")
    channel.of("a", "b").view(lambda s: s.upper())
    channel.of(1).dump(tag="d")
    show(keep(channel.of(7)).o)
"""


@pytest.mark.parametrize("executor", EXECUTORS)
def test_publishing_storing_and_viewing(executor: str, pipeline: Pipeline) -> None:
    """Files are published in several places, kept for ever, and items shown when known."""
    pipeline.pipeline(PUBLISH)
    result = pipeline.dsl(executor=executor)
    assert 0 == result.code, result.said
    published = pipeline.folder / "results/1/t.txt"
    assert "1\n" == published.read_text()
    assert not published.is_symlink()
    log = pipeline.folder / "logs/l.log"
    assert result.said.startswith("A\nB\n")
    assert "\ntext: 1\n" in result.said
    published.unlink()
    log.unlink()
    again = pipeline.dsl(executor=executor)
    assert "Nothing to be done" in again.said
    assert "1\n" == published.read_text()
    assert "log\n" == log.read_text()
    assert "7\n" == (pipeline.folder / "kept/k7.txt").read_text()
    shutil.rmtree(pipeline.folder / ".hpcctr")
    assert 0 == pipeline.dsl(executor=executor).code
    assert "7\n" == (pipeline.folder / "kept/k7.txt").read_text()
    assert ["7\n"] == pipeline.texts("show", "o.txt")


def test_two_tasks_that_publish_one_file(pipeline: Pipeline) -> None:
    """The second is refused by name, before it overwrites the first."""
    pipeline.pipeline(PUBLISH.replace("logs", "logs").replace('"results/${n}"', '"results"'))
    result = pipeline.dsl("--numbers", "1", "2")
    assert 0 != result.code
    assert "two tasks publish" in result.said
    assert not result.shows_traceback


def test_a_changed_result_is_made_again(pipeline: Pipeline) -> None:
    """A file that somebody changed in a task's folder does not count as its result."""
    pipeline.pipeline(STAGES)
    pipeline.write("data.csv", "1\n")
    assert 0 == pipeline.dsl("--data", "data.csv", "--rates", "0.1").code
    (made,) = (pipeline.folder / ".hpcctr/dsl/preprocess").glob("*/work/clean.txt")
    made.write_text("something else\n")
    assert 0 == pipeline.dsl("--data", "data.csv", "--rates", "0.1").code
    assert "1\n" == made.read_text()


OUTPUTS = """
class align(Process):
    sample: In[tuple[str, int]] = tuple_(id=val(), n=val())
    bam: Out[tuple[str, Path]] = out(val("id"), path("*.bam"))
    script = r'''
    echo ${n} > ${id}.bam
    '''

@workflow
def main():
    made = align(channel.of(("s1", 1), ("s2", 2))).bam
    output("samples", made, path="align", mode="copy", index="samples.csv", header=["id", "bam"])
    output("each", made.map(lambda id, bam: {"id": id, "bam": bam}),
           path=lambda item: f"by/{item['id']}", index="each.json")
"""


def test_an_output_that_cannot_be_published(pipeline: Pipeline) -> None:
    """The run is kept in the log, its hooks are called, and it ends with an error."""
    hook = '@main.onComplete\ndef done(run):\n    print("hook:", run.success)\n'
    pipeline.pipeline(OUTPUTS + hook)
    pipeline.write("final", "in the way")
    result = pipeline.dsl("--output-dir", "final")
    assert 0 != result.code
    assert "cannot be published" in result.said
    assert "hook: False" in result.said
    assert {"align": ["done", "done"]} == pipeline.statuses()


def test_outputs_with_an_index(pipeline: Pipeline) -> None:
    """Channels are published below one folder, and an index names what lies there."""
    pipeline.pipeline(OUTPUTS)
    result = pipeline.dsl("--output-dir", "final")
    assert 0 == result.code, result.said
    final = pipeline.folder / "final"
    assert "1\n" == (final / "align/s1.bam").read_text()
    rows = (final / "samples.csv").read_text().splitlines()
    assert '"id","bam"' == rows[0]
    assert f'"s1","{final}/align/s1.bam"' == rows[1]
    assert (final / "by/s2/s2.bam").is_symlink()
    index = json.loads((final / "each.json").read_text())
    assert [{"id": "s1", "bam": f"{final}/by/s1/s1.bam"}] == index[:1]


ENGINES = {"preprocess": "apptainer", "train": "enroot", "evaluate": "pyxis"}


def test_three_engines_on_the_lab(
    apptainer: str,  # noqa: ARG001 (the first stage's engine)
    pyxis: object,  # noqa: ARG001 (the last stage's engine; it brings Enroot)
    base_image: BaseImage,
    lab_environ: Mapping[str, str],
    tmp_path: Path,
) -> None:
    """One pipeline runs each process in another engine on Slurm, inputs outside of its folder."""
    text = STAGES
    for name, engine in ENGINES.items():
        image = base_image.sif if engine == "apptainer" else base_image.sqsh
        header = f'class {name}(Process, engine="{engine}", container="{image}"'
        text = text.replace(f"class {name}(Process", header)
    data = tmp_path / "elsewhere" / "data.csv"
    data.parent.mkdir()
    data.write_text("# head\n1\n2\n")
    found = Pipeline(tmp_path / "run", lab_environ)
    found.pipeline(text)
    argv = (*HPCCTR, "dsl", "run", "main.py", "--data", str(data), "--", "--hpcctr-poll-max", "1")
    result = Running(argv, found.folder, found.variables()).finish(150.0)
    assert 0 == result.code, result.said
    assert ["0.01 2 100 MB 2\n0.1 2 100 MB 2\n"] == found.texts("evaluate", "report.txt")
    assert {"apptainer", "enroot", "pyxis"} == {row.engine for row in found.rows()}
    shutil.rmtree(found.folder)

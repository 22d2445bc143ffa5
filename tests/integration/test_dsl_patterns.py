"""Pipelines after Nextflow's documented patterns, on a real Slurm with Apptainer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_dsl import Pipeline
from tests.integration.workflow import HPCCTR, Running

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

pytestmark = pytest.mark.lab


@dataclass(frozen=True)
class Pattern:
    """One pipeline.

    Args:
        text: The file, without its imports.
        expected: `process/file` → its content in each task, sorted.
        files: What is there before.
        words: Parameters.
    """

    text: str
    expected: Mapping[str, list[str]]
    files: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()


#: Processes that several patterns use.
COMMON = """
class show(Process):
    x: In[str]
    o: Out[Path] = out(path("o.txt"))
    script = r'''
    printf '%s\\n' "$x" > o.txt
    '''

class count(Process):
    files: In[list[Path]] = path("f*.txt", arity="1..*")
    o: Out[Path] = out(path("o.txt"))
    script = r'''
    cat ${files} | sort | tr '\\n' ' ' > o.txt
    '''

class split(Process):
    text: In[Path]
    parts: Out[list[Path]] = out(path("part_*", arity="1..*"))
    script = r'''
    split -l 1 ${text} part_
    '''

class upper(Process):
    text: In[Path]
    o: Out[Path] = out(path("u.txt"))
    script = r'''
    tr a-z A-Z < ${text} > u.txt
    '''
"""
PATTERNS = {
    "scatter and gather": Pattern(
        """
@workflow
def main(text: Path):
    parts = split(channel.value(text)).parts.flatten()
    count(upper(parts).o.collect())
""",
        {"count/o.txt": ["A B C "]},
        files={"in.txt": "a\nb\nc\n"},
        words=("--text", "in.txt"),
    ),
    "a task for each file": Pattern(
        """
@workflow
def main(data: str = "data/*.txt"):
    upper(channel.fromPath(data))
""",
        {"upper/u.txt": ["ONE", "TWO"]},
        files={"data/1.txt": "one", "data/2.txt": "two"},
    ),
    "a task for each pair": Pattern(
        """
class pairs(Process):
    sample: In[tuple[str, list[Path]]] = tuple_(id=val(), reads=path("r?.fq"))
    o: Out[Path] = out(path("${id}.txt"))
    script = r'''
    cat ${reads[0]} ${reads[1]} > ${id}.txt
    '''

@workflow
def main():
    pairs(channel.fromFilePairs("*_{1,2}.fq"))
""",
        {"pairs/*.txt": ["12", "34"]},
        files={"a_1.fq": "1", "a_2.fq": "2", "b_1.fq": "3", "b_2.fq": "4", "c_1.fq": "5"},
    ),
    "a task for each row of a samplesheet": Pattern(
        """
from typing import NamedTuple

class Sample(NamedTuple):
    id: str
    reads: Path

class align(Process):
    sample: In[Sample]
    o: Out[tuple[str, Path]] = out(val("${sample.id}"), path("o.txt"))
    script = r'''
    echo "${sample.id} $(cat ${sample.reads})" > o.txt
    '''

@workflow
def main():
    align(channel.fromSamplesheet("samples.csv", Sample))
""",
        {"align/o.txt": ["s1 x\n", "s2 y\n"]},
        files={"samples.csv": "id,reads\ns1,a.fq\ns2,b.fq\n", "a.fq": "x", "b.fq": "y"},
    ),
    "a conditional process": Pattern(
        """
@workflow
def main(loud: bool = False):
    made = channel.of("a", "b")
    show(made.map(lambda x: x.upper()) if loud else made)
""",
        {"show/o.txt": ["A\n", "B\n"]},
        words=("--loud",),
    ),
    "when": Pattern(
        """
class maybe(Process):
    n: In[int]
    o: Out[Path] = out(path("o.txt"))
    script = "echo ${n} > o.txt"

    def when(self) -> bool:
        return self.n % 2 == 1

@workflow
def main():
    maybe(channel.of(1, 2, 3))
""",
        {"maybe/o.txt": ["1\n", "3\n"]},
    ),
    "an optional input": Pattern(
        """
class align(Process):
    reads: In[Path]
    index: In[Path | None]
    o: Out[Path] = out(path("o.txt"))

    def script(self, task: TaskView) -> str:
        option = f"--index {self.index}" if self.index else "plain"
        return f"echo {option} > o.txt"

@workflow
def main():
    align(channel.fromPath("*.fq"), None)
""",
        {"align/o.txt": ["plain\n"]},
        files={"a.fq": ""},
    ),
    "an optional output": Pattern(
        """
class find(Process):
    n: In[int]
    hit: Out[Path] = out(path("hit*.txt"), optional=True)
    script = "[ ${n} -lt 2 ] || echo ${n} > hit${n}.txt"

@workflow
def main():
    count(find(channel.of(1, 2, 3)).hit.collect())
""",
        {"count/o.txt": ["2 3 "]},
    ),
    "metadata maps": Pattern(
        """
class align(Process, tag="${meta.id}"):
    sample: In[tuple[dict[str, str], Path]] = tuple_(meta=val(), reads=path())
    bam: Out[tuple[dict[str, str], Path]] = out(val("meta"), path("${meta.id}.bam"))
    script = r'''
    echo "${meta.id} ${meta.group}" > ${meta.id}.bam
    '''

class report(Process):
    group: In[tuple[str, list[str], list[Path]]] = tuple_(name=val(), ids=val(), bams=path())
    o: Out[Path] = out(path("o.txt"))
    script = r'''
    echo "${name}: ${ids[@]} $(cat ${bams} | wc -l)" > o.txt
    '''

@workflow
def main():
    made = channel.fromPath("*.fq").map(
        lambda f: ({"id": f.stem, "group": f.stem[0]}, f)
    )
    by_group = align(made).bam.map(lambda meta, bam: (meta["group"], meta["id"], bam))
    report(by_group.groupTuple())
""",
        {"report/o.txt": ["x: x1 x2 2\n", "y: y1 1\n"]},
        files={"x1.fq": "", "x2.fq": "", "y1.fq": ""},
    ),
    "join of two processes": Pattern(
        """
class one(Process):
    id: In[str]
    o: Out[tuple[str, Path]] = out(val("id"), path("one.txt"))
    script = "echo one ${id} > one.txt"

class two(Process):
    id: In[str]
    o: Out[tuple[str, Path]] = out(val("id"), path("two.txt"))
    script = "echo two ${id} > two.txt"

class both(Process):
    sample: In[tuple[str, Path, Path]] = tuple_(id=val(), a=path(), b=path())
    o: Out[Path] = out(path("o.txt"))
    script = "cat ${a} ${b} > o.txt"

@workflow
def main():
    ids = channel.of("p", "q")
    both(one(ids).o.join(two(channel.of("q", "p")).o))
""",
        {"both/o.txt": ["one p\ntwo p\n", "one q\ntwo q\n"]},
    ),
    "each": Pattern(
        """
class run(Process):
    text: In[Path]
    mode: Each[str]
    level: Each[int]
    o: Out[Path] = out(path("o.txt"))
    script = r'''
    echo "$(cat ${text}) ${mode} ${level}" > o.txt
    '''

@workflow
def main():
    run(channel.fromPath("*.txt"), ["fast", "slow"], channel.of(1, 2))
""",
        {"run/o.txt": ["a fast 1\n", "a fast 2\n", "a slow 1\n", "a slow 2\n"]},
        files={"in.txt": "a"},
    ),
    "combine": Pattern(
        """
class pair(Process):
    x: In[tuple[str, int]] = tuple_(a=val(), b=val())
    o: Out[Path] = out(path("o.txt"))
    script = "echo ${a}${b} > o.txt"

@workflow
def main():
    pair(channel.of("x", "y").combine(channel.of(1, 2)))
""",
        {"pair/o.txt": ["x1\n", "x2\n", "y1\n", "y2\n"]},
    ),
    "splitCsv of a process's output": Pattern(
        """
class table(Process):
    o: Out[Path] = out(path("t.csv"))
    script = r'''
    printf 'id,n\\na,1\\nb,2\\n' > t.csv
    '''

@workflow
def main():
    rows = table().o.splitCsv(header=True)
    show(rows.map(lambda row: f"{row['id']}={row['n']}"))
""",
        {"show/o.txt": ["a=1\n", "b=2\n"]},
    ),
    "two checkpoints, one behind the other": Pattern(
        """
class lines(Process):
    n: In[str]
    o: Out[Path] = out(path("l.txt"))
    script = r'''
    seq ${n} > l.txt
    '''

@workflow
def main():
    first = lines(channel.of("2")).o.splitText(lambda s: s.strip())
    second = lines.alias("again")(first).o.splitText(lambda s: s.strip())
    show(second)
""",
        {"show/o.txt": ["1\n", "1\n", "2\n"]},
    ),
    "two checkpoints that meet": Pattern(
        """
class lines(Process):
    n: In[str]
    o: Out[Path] = out(path("l.txt"))
    script = r'''
    seq ${n} > l.txt
    '''

@workflow
def main():
    left = lines(channel.of("2")).o.splitText(lambda s: s.strip())
    right = lines.alias("other")(channel.of("1")).o.splitText(lambda s: s.strip())
    show(left.combine(right).map(lambda a, b: f"{a}{b}"))
""",
        {"show/o.txt": ["11\n", "21\n"]},
    ),
    "collectFile": Pattern(
        """
class word(Process):
    n: In[int]
    o: Out[Path] = out(path("w.txt"))
    script = "echo w${n} > w.txt"

@workflow
def main():
    upper(word(channel.of(1, 2)).o.collectFile(name="all.txt", sort=True))
""",
        {"upper/u.txt": ["W1\nW2\n"]},
    ),
    "branch and mix": Pattern(
        """
@workflow
def main():
    parts = channel.of("a1", "b2", "a3").branch(
        first=lambda s: s.startswith("a"), rest=True
    )
    show(parts.first.map(lambda s: s.upper()).mix(parts.rest))
""",
        {"show/o.txt": ["A1\n", "A3\n", "b2\n"]},
    ),
    "stdout, env and eval": Pattern(
        """
class say(Process):
    said: Out[str] = out(stdout())
    name: Out[str] = out(env("NAME"))
    where: Out[str] = out(eval_("basename $PWD"))
    script = r'''
    NAME=joe
    echo hello
    '''

@workflow
def main():
    made = say()
    show(made.said.map(lambda s: s.strip()).mix(made.name, made.where))
""",
        {"show/o.txt": ["hello\n", "joe\n", "work\n"]},
    ),
    "stdin and variables": Pattern(
        """
class feed(Process):
    text: In[str] = stdin()
    level: In[str] = env("LEVEL")
    o: Out[Path] = out(path("o.txt"))
    script = r'''
    echo "$(cat) $LEVEL" > o.txt
    '''

@workflow
def main():
    feed(channel.of("piped"), "high")
""",
        {"feed/o.txt": ["piped high\n"]},
    ),
    "other languages": Pattern(
        """
class py(Process):
    n: In[int]
    o: Out[Path] = out(path("o.txt"))
    script = r'''
    #!/usr/bin/env python3
    print(${n} * 2, file=open("o.txt", "w"))
    '''

@workflow
def main():
    py(channel.of(21))
""",
        {"py/o.txt": ["42\n"]},
    ),
    "raw scripts and templates": Pattern(
        """
class bare(Process):
    n: In[int]
    o: Out[Path] = out(path("o.txt"))
    script = raw(r'''
    x="${n}-${#n}"
    echo "$x" > o.txt
    ''')

class page(Process):
    n: In[int]
    o: Out[Path] = out(path("o.txt"))
    template = "page.sh"

@workflow
def main():
    bare(channel.of(12))
    page(channel.of(7))
""",
        {"bare/o.txt": ["12-2\n"], "page/o.txt": ["page 7\n"]},
        files={"templates/page.sh": "echo page ${n} > o.txt\n"},
    ),
    "programs of the pipeline": Pattern(
        """
class call(Process):
    o: Out[Path] = out(path("o.txt"))
    script = "mine > o.txt"

@workflow
def main():
    call()
""",
        {"call/o.txt": ["my own\n"]},
        files={"bin/mine": "#!/bin/bash\necho my own\n"},
    ),
    "sub-workflows": Pattern(
        """
@workflow
def inner(words: Channel[str]):
    return show(words).o

@workflow
def main():
    first = inner(channel.of("a"))
    second = inner.alias("later")(channel.of("b"))
    count(first.mix(second).collect())
""",
        {"inner_show/o.txt": ["a\n"], "later_show/o.txt": ["b\n"], "count/o.txt": ["a b "]},
    ),
    "imported processes": Pattern(
        """
import parts

@workflow
def main():
    parts.twice(channel.of(4))
""",
        {"twice/o.txt": ["8\n"]},
        files={
            "parts.py": "from pathlib import Path\n"
            "from snakemake_executor_plugin_hpcctr.dsl import In, Out, Process, out, path\n\n"
            "class twice(Process):\n    n: In[int]\n    o: Out[Path] = out(path('o.txt'))\n"
            "    script = 'echo $((${n} * 2)) > o.txt'\n"
        },
    ),
    "a signal that orders processes": Pattern(
        """
class prepare(Process):
    ready: Out[bool] = out(val(lambda self: True))
    script = "echo made > $OLDPWD/prepared.txt"

class use(Process):
    ready: In[bool]
    o: Out[Path] = out(path("o.txt"))
    script = "cp $OLDPWD/prepared.txt o.txt"

@workflow
def main():
    use(prepare().ready)
""",
        {"use/o.txt": ["made\n"]},
    ),
    "scratch": Pattern(
        """
class far(Process, scratch=True):
    text: In[Path]
    o: Out[Path] = out(path("o.txt"))
    script = "cat ${text} > o.txt; echo more >> o.txt; touch left.behind"

@workflow
def main():
    far(channel.fromPath("in.txt"))
""",
        {"far/o.txt": ["a\nmore\n"]},
        files={"in.txt": "a\n"},
    ),
    "skip a step": Pattern(
        """
@workflow
def main(skip: bool = False):
    text = channel.fromPath("in.txt")
    ready = text if skip else upper(text).o
    count(ready.collect())
""",
        {"count/o.txt": ["a "]},
        files={"in.txt": "a\n"},
        words=("--skip", "true"),
    ),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(
    name: str,
    apptainer: str,  # noqa: ARG001 (every process runs in it)
    base_image: BaseImage,
    lab_environ: Mapping[str, str],
    tmp_path: Path,
) -> None:
    """Each pattern gives its results, every process in a container on Slurm."""
    pattern = PATTERNS[name]
    pipeline = Pipeline(tmp_path, lab_environ)
    pipeline.pipeline(COMMON + pattern.text)
    pipeline.write("hpcctr.yaml", f"process: {{container: {base_image.sif}}}\n")
    for file, content in pattern.files.items():
        pipeline.write(file, content)
        if file.startswith("bin/"):
            (tmp_path / file).chmod(0o755)
    options = ("--", "--hpcctr-poll-max", "0.5", "--quiet")
    argv = (*HPCCTR, "dsl", "run", "main.py", *pattern.words, *options)
    result = Running(argv, tmp_path, pipeline.variables()).finish(150.0)
    assert 0 == result.code, result.said
    found = {place: pipeline.texts(*place.split("/")) for place in pattern.expected}
    assert pattern.expected == found

"""Splitters and collectFile on files that tasks make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.test_dsl import Pipeline

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
class table(Process, tag="${n}"):
    n: In[int]
    csv: Out[tuple[int, Path]] = out(val("n"), path("t.csv"))
    script = r'''
    echo id,x > t.csv
    for i in $(seq ${n}); do echo "r${n}$i,$i" >> t.csv; done
    '''

class row(Process, tag="${id}"):
    id: In[str]
    o: Out[Path] = out(path("${id}.txt"))
    script = "echo ${id} > ${id}.txt"

class final(Process):
    all: In[Path]
    lines: In[int]
    o: Out[Path] = out(path("final.txt"))
    script = r'''
    cat ${all} > final.txt; echo "lines ${lines}" >> final.txt
    '''

class piece(Process):
    f: In[Path]
    o: Out[Path] = out(path("n.txt"))
    script = "wc -l < ${f} > n.txt"

@workflow
def main(ns: list[int] = [1, 2]):
    tables = table(channel.of(*ns)).csv
    made = row(tables.splitCsv(header=True).map(lambda n, r: r["id"])).o
    final(made.collectFile(name="all.txt", sort=True), made.countLines())
    piece(tables.map(lambda n, f: f).splitText(by=2, keepHeader=True, file=True))
    made.collectFile(lambda f: (f.stem[:2], f), storeDir="groups", sort=True).view()
    made.collectFile(name="results/all.txt", sort=True)
"""


def test_files_of_tasks_are_split_counted_and_collected(tmp_path: Path) -> None:
    """Rows of a task's table become tasks behind a checkpoint; a second run does nothing."""
    pipeline = Pipeline(tmp_path)
    pipeline.pipeline(TEXT)
    result = pipeline.dsl()
    assert 0 == result.code, result.said
    assert ["r11\nr21\nr22\nlines 3\n"] == pipeline.texts("final", "final.txt")
    assert ["2\n", "3\n"] == pipeline.texts("piece", "n.txt")
    assert "r21\nr22\n" == (tmp_path / "groups/r2").read_text()
    assert str(tmp_path / "groups/r1") in result.said
    assert "r11\nr21\nr22\n" == (tmp_path / "results/all.txt").read_text()
    assert "Nothing to be done" in pipeline.dsl().said

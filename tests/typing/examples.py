"""Correct pipelines, in which no type checker may find anything."""

# pyright: standard

from pathlib import Path
from typing import NamedTuple

from snakemake_executor_plugin_hpcctr.dsl import (
    Channel,
    Each,
    In,
    Out,
    Process,
    TaskView,
    channel,
    out,
    path,
    publish,
    stdout,
    tuple_,
    val,
    workflow,
)


class Sample(NamedTuple):
    id: str
    reads: Path


class preprocess(Process, container="images/science.sif", memory="2 GB"):
    raw: In[Path]
    clean: Out[Path] = out(path("clean.npz"))
    script = r"""
    python preprocess.py ${raw} clean.npz
    """


class train(
    Process,
    container="docker://nvcr.io/nvidia/pytorch:23.12-py3",
    engine="pyxis",
    gpu=1,
    cpus=8,
    memory=lambda task: f"{16 * task.attempt} GB",
    errorStrategy="retry",
    maxRetries=2,
    publishDir=["results/models", publish("copies", mode="copy", saveAs=lambda name: name.upper())],
):
    lr: In[float]
    data: In[Path] = path("clean.npz")
    model: Out[tuple[float, Path]] = out(val("lr"), path("model_*.npz"))
    script = r"""
    python train.py --lr ${lr} --threads ${task.cpus} ${data} model_${lr}.npz
    """


class gpu_step(Process, engine="pyxis", gpu=1):
    pass


class align(gpu_step, errorStrategy=lambda task: "retry" if task.attempt < 3 else "ignore"):
    sample: In[tuple[str, list[Path]]] = tuple_(id=val(), reads=path("r?.fq"))
    mode: Each[str]
    said: Out[str] = out(stdout(), optional=True)

    @property
    def prefix(self) -> str:
        return self.sample[0].lower()

    def script(self, task: TaskView) -> str:
        return f"align {self.prefix} {self.mode} -t {task.cpus}"

    def when(self) -> bool:
        return len(self.sample[1]) > 1


class evaluate(Process):
    models: In[list[Path]]
    report: Out[Path] = out(path("report.html"))
    script = r"""
    python evaluate.py ${models} > report.html
    """


@workflow
def training(data: Channel[Path], rates: Channel[float]) -> Channel[tuple[float, Path]]:
    clean = preprocess(data).clean.first()
    return train(rates, clean).model


@workflow
def main(data: Path, rates: list[float] = [0.1, 0.01, 0.001]) -> None:
    models = training(channel.fromPath(data), channel.of(*rates))
    evaluate(models.map(lambda lr, file: file).collect())
    evaluate.alias("best")(models.filter(lambda lr, file: lr < 0.1).map(lambda pair: [pair[1]]))
    align(channel.fromFilePairs("*_{1,2}.fq"), ["fast", "slow"])
    parts = channel.of(1, 2, 3).branch(small=lambda n: n < 2, large=True)
    parts.small.mix(parts.large).view()
    align.alias("again")(channel.of(("a", [Path("x"), Path("y")])), channel.of("fast"))
    total = channel.of(1, 2).reduce(0, lambda a, b: a + b)
    channel.of("x").combine(total).subscribe(print)

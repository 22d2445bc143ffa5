"""Mistakes, each of which both type checkers must report on its line, and nothing else."""

# pyright: standard

from pathlib import Path

from examples import evaluate, preprocess, train

from snakemake_executor_plugin_hpcctr.dsl import In, Process, channel, workflow


class misspelt_directive(Process, cpu=3):  # mistake
    script = "true"


class directive_of_the_wrong_type(Process, cpus="x"):  # mistake
    script = "true"


class unknown_strategy(Process, errorStrategy="ignor"):  # mistake
    script = "true"


class misspelt_field_of_the_task(Process, memory=lambda task: f"{task.atempt} GB"):  # mistake
    script = "true"


class wrong_use_of_an_input(Process):
    x: In[float]
    script = "true"

    def when(self) -> bool:
        return bool(self.x.startswith("a"))  # mistake


@workflow
def main(data: Path) -> None:
    preprocess()  # mistake
    preprocess(channel.fromPath(data), 3)  # mistake
    preprocess(raw=channel.of(1))  # mistake
    train(channel.of("a"), channel.fromPath(data))  # mistake
    preprocess(channel.fromPath(data)).clen  # mistake
    preprocess(channel.fromPath(data)).clean.frist()  # mistake
    models = train(channel.of(0.1), channel.fromPath(data)).model
    models.map(lambda lr, file: lr.upper())  # mistake
    models.map(lambda a, b, c: a)  # mistake
    evaluate(channel.fromPath(data))  # mistake
    for _item in channel.of(1):  # mistake
        pass
    channel.of(1).take("two")  # mistake
    channel.fromPath(data, type="folder")  # mistake

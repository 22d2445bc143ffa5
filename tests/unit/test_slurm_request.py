from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.errors import SubmitError
from snakemake_executor_plugin_hpcctr.schedulers.base import Submission
from snakemake_executor_plugin_hpcctr.schedulers.slurm.request import (
    indices,
    render_batch_file,
    sbatch_argv,
    tag_of,
)
from snakemake_executor_plugin_hpcctr.task import Gpu, Resources

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


def submission(*numbers: int, folder: str = "/run", **changes: Any) -> Submission:
    """Return a submission of tasks with these numbers."""
    values: dict[str, Any] = {
        "name": "train",
        "tag": "hpcctr:r1:7",
        "resources": Resources(),
        "scripts": tuple(f"{folder}/7.{i}.sh" for i in numbers or (0,)),
        "logs": tuple(f"{folder}/7.{i}.log" for i in numbers or (0,)),
        "workdir": "/work",
        "batch_file": f"{folder}/7.batch",
    }
    return Submission(**{**values, **changes})


def directives(one: Submission) -> list[str]:
    """Return the options in a batch file."""
    lines = render_batch_file(one).splitlines()
    return [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")]


def asked(**request: Any) -> list[str]:
    """Return the options that a request adds to those of any submission."""
    plain = directives(submission())
    return [
        option
        for option in directives(submission(resources=Resources(**request)))
        if option not in plain
    ]


def test_a_batch_file_reads_like_one_written_by_hand() -> None:
    """Options are directives, and the batch shell reads the element's script itself."""
    one = submission(0, 1, 2, resources=Resources(mem_mb=2000, runtime_min=5), max_parallel=2)
    assert render_batch_file(one) == (
        "#!/bin/bash\n"
        "#SBATCH --job-name=train\n"
        "#SBATCH --comment=hpcctr:r1:7\n"
        "#SBATCH --output=/run/7.%a.log\n"
        "#SBATCH --chdir=/work\n"
        "#SBATCH --open-mode=append\n"
        "#SBATCH --export=ALL\n"
        "#SBATCH --array=0-2%2\n"
        "#SBATCH --cpus-per-task=1\n"
        "#SBATCH --mem=2000M\n"
        "#SBATCH --time=5\n"
        "#SBATCH --no-requeue\n"
        "# by hand: sbatch /run/7.batch\n"
        "\n"
        'source /run/7."$SLURM_ARRAY_TASK_ID".sh\n'
    )


def test_plain_options_need_no_command_line() -> None:
    """What the file says is not said twice."""
    assert ["sbatch", "--parsable", "/run/7.batch"] == sbatch_argv(submission())


def test_a_single_task_is_no_array() -> None:
    """One task is a job of its own, whatever its number."""
    assert () == indices(submission(4))
    assert "source /run/7.4.sh" == render_batch_file(submission(4)).splitlines()[-1]


def test_nothing_but_the_cpus_is_asked_for_by_itself() -> None:
    """Slurm's own defaults count for everything that the user does not name."""
    options = {option.partition("=")[0] for option in directives(submission())}
    geometry = {"--nodes", "--ntasks", "--ntasks-per-gpu", "--mem", "--time", "--gpus", "--array"}
    assert set() == options & geometry
    assert "--cpus-per-task" in options


@pytest.mark.parametrize(
    ("request_", "options"),
    [
        ({"partition": "gpu,big"}, ["--partition=gpu,big"]),
        ({"account": "lab", "qos": "long"}, ["--account=lab", "--qos=long"]),
        ({"reservation": "r1", "wckey": "k"}, ["--reservation=r1", "--wckey=k"]),
        ({"clusters": "a,b"}, ["--clusters=a,b"]),
        ({"constraint": "big"}, ["--constraint=big"]),
        ({"tasks": 4}, ["--ntasks=4"]),
        (
            {"nodes": 2, "tasks_per_node": 8, "cpus_per_task": 4},
            ["--nodes=2", "--ntasks-per-node=8", "--cpus-per-task=4"],
        ),
        ({"mem_mb_per_cpu": 500}, ["--mem-per-cpu=500M"]),
        ({"tmp_mb": 70}, ["--tmp=70M"]),
        ({"gpu": Gpu(count=1)}, ["--gpus=1"]),
        ({"gpu": Gpu(count=1, model="a100")}, ["--gpus=a100:1"]),
        ({"gres": "gpu:2,nvme:1"}, ["--gres=gpu:2,nvme:1"]),
        ({"gpu": Gpu(count=8), "nodes": 2}, ["--nodes=2", "--gpus=8"]),
        ({"gpu": Gpu(count=8), "tasks": 8}, ["--ntasks=8", "--gpus=8"]),
        ({"gpu": Gpu(count=8), "tasks_per_gpu": 1}, ["--ntasks-per-gpu=1", "--gpus=8"]),
        ({"requeue": True}, ["--requeue"]),
        ({"mem_mb": 0}, []),
    ],
)
def test_each_resource_becomes_its_option(request_: dict[str, Any], options: list[str]) -> None:
    """Every field of a request has its option of sbatch."""
    assert options == asked(**request_)


def test_the_gpus_of_one_process_are_kept_together() -> None:
    """Slurm would spread `--gpus=4` over nodes, where one process cannot use them."""
    assert ["--nodes=1", "--gpus=4"] == asked(gpu=Gpu(count=4))


def test_cpus_per_gpu_takes_the_place_of_cpus_per_task() -> None:
    """Slurm refuses both together."""
    options = directives(submission(resources=Resources(cpus_per_gpu=4, gpu=Gpu(count=1))))
    assert "--cpus-per-gpu=4" in options
    assert not any(option.startswith("--cpus-per-task") for option in options)


def test_odd_options_go_on_the_command_line_and_the_file_says_so() -> None:
    """A name with blanks arrives unchanged, and the file can still be submitted by hand."""
    one = submission(name="train (lr=0.1)", comment="for #7")
    odd = ["--job-name=train (lr=0.1)", "--comment=hpcctr:r1:7 for #7"]
    assert ["sbatch", "--parsable", *odd, "/run/7.batch"] == sbatch_argv(one)
    by_hand = render_batch_file(one).partition("# by hand: ")[2].splitlines()[0]
    assert ["sbatch", *odd, "/run/7.batch"] == shlex.split(by_hand)


def test_options_of_the_user_come_last() -> None:
    """They override ours, because sbatch prefers its command line to the file."""
    extra = ("--exclude=n7", "--mail-user", "me@site")
    one = submission(name="a b", resources=Resources(extra=extra))
    argv = ["sbatch", "--parsable", "--job-name=a b", *extra, "/run/7.batch"]
    assert argv == sbatch_argv(one)


def test_percent_signs_in_a_path_are_no_patterns() -> None:
    """Slurm reads `%j` in a log's path as the job's number unless it is doubled."""
    options = directives(submission(0, 1, folder="/50%j"))
    assert "--output=/50%%j/7.%a.log" in options
    assert "--output=/50%%j/7.0.log" in directives(submission(folder="/50%j"))


@given(texts, texts, texts)
def test_any_text_makes_a_sound_file(name: str, comment: str, folder: str) -> None:
    """Whatever a wildcard or a folder is called, it cannot break out of the batch file."""
    folder = "/" + folder.replace("\n", "").replace("\\", "").replace("\r", "")
    one = submission(0, 1, folder=folder, name=name, comment=comment)
    lines = render_batch_file(one).split("\n")
    assert all(line.startswith("#") for line in lines[:-3])
    assert ["", ""] == [lines[-3], lines[-1]]
    source = shlex.split(lines[-2].replace('"$SLURM_ARRAY_TASK_ID"', "1"))
    assert ["source", f"{folder}/7.1.sh"] == source


@pytest.mark.parametrize("field", ["workdir", "logs"])
def test_a_line_break_in_a_path_is_refused(field: str) -> None:
    """Slurm cannot be told such a path."""
    value: Any = "/a\nb" if field == "workdir" else ("/a\nb/7.0.log",)
    with pytest.raises(SubmitError, match="line break"):
        sbatch_argv(submission(**{field: value}))


def test_a_backslash_in_a_logs_path_is_refused() -> None:
    """Slurm replaces no `%a` in such a path: all elements would share a log."""
    with pytest.raises(SubmitError, match="backslash"):
        sbatch_argv(submission(0, 1, folder="/a\\b"))


def test_scripts_and_logs_must_be_numbered_alike() -> None:
    """One array index serves both."""
    logs = ("/run/7.5.log", "/run/7.6.log")
    with pytest.raises(ValueError, match="numbered differently"):
        render_batch_file(submission(0, 1, logs=logs))


@given(texts)
def test_the_tag_is_found_in_the_comment(comment: str) -> None:
    """A job is found again by the first word of its comment."""
    argv = sbatch_argv(submission(comment=comment, name="a b"))
    written = [*argv, *directives(submission(comment=comment))]
    found = [word.partition("=")[2] for word in written if word.startswith("--comment=")]
    assert {"hpcctr:r1:7"} == {tag_of(text) for text in found}

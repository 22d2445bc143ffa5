from __future__ import annotations

from snakemake_executor_plugin_hpcctr.schedulers.slurm.cancel import split, whole_arrays
from snakemake_executor_plugin_hpcctr.schedulers.slurm.parse import parse_queue

QUEUE = parse_queue(
    "5|RUNNING|None\n6|PENDING|Priority\n7_0|RUNNING|None\n7_1|COMPLETING|None\n"
    "7_[2-9]|PENDING|Resources\n8|RUNNING|None\n9_0|SUSPENDED|None\n"
)


def test_waiting_and_running_elements_are_told_apart() -> None:
    """What is on its way out already, and what is not ours, is left alone."""
    ours = {"5", "6", "7_0", "7_1", "7_2", "9_0", "99"}
    assert (["6", "7_2"], ["5", "7_0", "9_0"]) == split(QUEUE, ours)


def test_a_whole_array_is_one_word() -> None:
    """If nothing else of an array is alive, its number ends it."""
    elements = [f"7_{index}" for index in range(10)]
    assert ["7"] == whole_arrays(elements, QUEUE)


def test_a_part_of_an_array_is_named_by_its_indices() -> None:
    """What the user did not ask to cancel lives on."""
    assert ["5", "7_[2-4]"] == whole_arrays(["7_2", "7_3", "7_4", "5"], QUEUE)

from __future__ import annotations

from snakemake_executor_plugin_hpcctr.dsl.calls import pair


def test_two_queues_are_paired_by_position() -> None:
    """Queues give one task per position; the surplus of the longer one is dropped."""
    assert [(1, "a"), (2, "b")] == pair([[1, 2, 3], ["a", "b"]], [0, 1], [])


def test_a_value_serves_every_round() -> None:
    """A value meets every item of a queue."""
    assert [(1, "v"), (2, "v")] == pair([[1, 2], ["v"]], [0], [])


def test_values_alone_make_one_task() -> None:
    """A process whose inputs are all values runs once."""
    assert [("v", "w")] == pair([["v"], ["w"]], [], [])


def test_no_input_makes_one_task() -> None:
    """A process without inputs runs once."""
    assert [()] == pair([], [], [])


def test_an_empty_input_makes_no_task() -> None:
    """An empty queue or an unbound value means that the process does not run."""
    assert pair([[1, 2], []], [0], []) == []
    assert pair([[1, 2], []], [0, 1], []) == []


def test_each_repeats_every_round() -> None:
    """Every round is repeated for the product of all `each` lists."""
    rounds = pair([[1, 2], [["a", "b"]], [[True, False]]], [0], [1, 2])
    assert 8 == len(rounds)
    assert [(1, "a", True), (1, "a", False), (1, "b", True), (1, "b", False)] == rounds[:4]


def test_each_of_an_empty_list_makes_no_task() -> None:
    """An empty `each` list leaves nothing to run."""
    assert pair([[1], [[]]], [0], [1]) == []

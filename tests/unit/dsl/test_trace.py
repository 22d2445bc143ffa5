"""What is known ahead, what waits for a task's manifest, what needs a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr.dsl import Channel, DslError, channel
from snakemake_executor_plugin_hpcctr.dsl.channels import channel_of
from snakemake_executor_plugin_hpcctr.dsl.errors import SymbolicUse
from snakemake_executor_plugin_hpcctr.dsl.graph import Pending
from snakemake_executor_plugin_hpcctr.dsl.trace import Trace, current, tracing
from snakemake_executor_plugin_hpcctr.dsl.values import (
    ABSENT,
    Lazy,
    Promise,
    Touched,
    promises,
    resolve,
)
from tests.unit.dsl.traced import Given, items, state_of

if TYPE_CHECKING:
    from collections.abc import Callable


def promised(*made: Any) -> Any:
    """Return a queue of items that hold promises."""
    return channel_of(current().add("task", "queue", (), list(made)))


def file_of(key: str, **options: Any) -> Promise:
    """Return the file of one task."""
    return Promise("p", key, 0, **options)


def test_functions_of_known_values_run_at_once() -> None:
    """A function that looks at known values only is called while the workflow is traced."""
    assert [2, 4] == items(lambda: channel.of(1, 2).map(lambda x: x * 2))


def test_promises_may_be_packed() -> None:
    """A function may pass promises on without looking at them."""
    made = items(lambda: promised((1, file_of("k"))).map(lambda n, f: (f, n + 1)))
    assert 2 == made[0][1]
    assert isinstance(made[0][0]._call, str)


def test_a_map_that_looks_at_a_promise_is_kept_for_later() -> None:
    """`map` of a value that a task will give becomes a function that waits for it."""
    made = items(lambda: promised((1, file_of("k"))).map(lambda n, f: (n, f.stat())))
    assert type(made[0]) is Lazy
    assert ["k"] == [promise._key for promise in promises(made[0])]


def test_a_deferred_map_gets_the_real_value() -> None:
    """When the task has run, the function is applied to what it gave."""
    results = Given({("p", 0, 0): Path("/work/a.txt")})
    (made,) = items(lambda: promised((1, file_of("k"))).map(lambda n, f: (n, f.name)))
    assert (1, "a.txt") == resolve(made, results.give)


def test_none_from_a_deferred_map_is_absent() -> None:
    """None drops the item, also when the function runs later."""
    (made,) = items(lambda: promised(file_of("k")).map(lambda f: f.nothing and None))
    assert ABSENT is resolve(made, Given({("p", 0, 0): type("X", (), {"nothing": 1})()}).give)


def test_the_name_of_a_literal_output_is_known() -> None:
    """A file that is declared without a wildcard tells its name before it exists."""
    made = items(lambda: promised(file_of("k", name="x.fq.gz")).map(lambda f: f.name + f.suffix))
    assert ["x.fq.gz.gz"] == made


def test_first_waits_if_items_may_be_absent() -> None:
    """Which item is the first depends on whether an optional output is there: a checkpoint."""
    state = state_of(lambda: promised(file_of("k", maybe=True)).first())
    assert isinstance(state, Pending)
    assert frozenset({"first#1"}) == state.barriers


def test_behind_a_barrier_everything_waits() -> None:
    """Operators behind a barrier wait for it, too."""
    state = state_of(lambda: promised(file_of("k", maybe=True)).first().map(lambda f: f))
    assert isinstance(state, Pending)


def test_a_barrier_is_passed_when_its_tasks_are_done() -> None:
    """With results at hand, the same file gets further, and absent items are left out."""

    def given(key: str) -> Any:
        return ABSENT if key == "a" else Path(f"/{key}")

    def build() -> Channel[Any]:
        made: Channel[Any] = promised(file_of("a", maybe=True), file_of("b", maybe=True)).first()
        return made

    assert [Path("/b")] == items(build, Given({("p", 0, 0): given}))


def test_collect_leaves_absent_items_out() -> None:
    """`collect` of items that may be absent is one value that waits for all of them."""

    def given(key: str) -> Any:
        return ABSENT if key == "a" else Path(f"/{key}")

    (made,) = items(lambda: promised(*(file_of(k, maybe=True) for k in "abc")).collect())
    assert [Path("/b"), Path("/c")] == resolve(made, Given({("p", 0, 0): given}).give)


def test_known_values_remember_their_task() -> None:
    """A number that was taken from a task's item still waits for that task, as in Nextflow."""
    made = items(lambda: promised((1, file_of("k"))).map(lambda n, f: n))  # noqa: ARG005
    assert [1] == made
    assert ["k"] == [promise._key for promise in promises(made[0])]


def test_known_values_are_absent_with_their_task() -> None:
    """A known value that was made of an absent item is absent."""
    (made,) = items(lambda: promised((1, file_of("k", maybe=True))).map(lambda n, f: n))  # noqa: ARG005
    assert ABSENT is resolve(made, Given({("p", 0, 0): ABSENT}).give)
    assert 1 == resolve(made, Given({("p", 0, 0): Path("/x")}).give)


@pytest.mark.parametrize(
    "look",
    [
        lambda p: p == 1,
        bool,
        str,
        lambda p: p.anything,
        lambda p: p + 1,
        lambda p: [*p],
        lambda p: {p},
        lambda p: isinstance(p, list),
        lambda p: f"{p}",
        lambda p: p[0],
        lambda p: p < 3,
    ],
)
def test_every_look_at_a_promise_is_noticed(look: Callable[[Any], Any]) -> None:
    """Comparing, printing, hashing, indexing, even isinstance: nothing gives a wrong answer."""
    with pytest.raises(Touched):
        look(Promise("p", "k", 0))


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (bool, "filter"),
        (len, "count"),
        (list, "map"),
        (lambda c: c == 1, "filter"),
        (lambda c: 1 in c, "filter"),
        (lambda c: f"{c}", "script"),
        (lambda c: c[0], "map"),
        (lambda c: c < 2, "filter"),
    ],
)
def test_a_channel_is_no_python_value(use: Callable[[Any], Any], advice: str) -> None:
    """Using a channel as a value raises at once, and says what to write."""
    with tracing(Trace()):
        made = channel.of(1)
        with pytest.raises(SymbolicUse) as caught:
            use(made)
    assert advice in caught.value.next_step
    assert caught.value.span is not None
    assert __file__ == caught.value.span.file


def test_channels_belong_to_one_trace() -> None:
    """A channel of another run of a workflow is refused."""
    with tracing(Trace()):
        old = channel.of(1)
    with tracing(Trace()), pytest.raises(DslError, match="another run"):
        current().check_own(old._node)


def test_channels_need_a_workflow() -> None:
    """Outside a workflow there is nothing to put a channel into."""
    with pytest.raises(DslError, match="only while a workflow is traced"):
        channel.of(1)


def test_an_error_in_a_function_tells_place_item_and_history() -> None:
    """A message about a lambda names its columns, the item, and the channel's operators."""
    with tracing(Trace()), pytest.raises(DslError) as caught:
        channel.of(2, 0).map(lambda x: 4 // x)
    error = caught.value
    assert "ZeroDivisionError" in str(error)
    assert "0" == error.item
    assert "of (" in error.history
    assert "→ map (" in error.history
    assert error.span is not None
    assert error.span.column > 1


def test_a_function_may_not_change_its_argument() -> None:
    """Items are shared by all consumers: changing one is an error that says what to write."""

    def change(meta: dict[str, int]) -> dict[str, int]:
        meta["x"] = 1
        return meta

    with tracing(Trace()), pytest.raises(DslError, match="changes its argument") as caught:
        channel.of({"a": 1}).map(change)
    assert "{**meta" in caught.value.next_step


def test_a_lambda_with_the_wrong_number_of_parameters() -> None:
    """A function with two parameters needs tuples of two."""
    with tracing(Trace()), pytest.raises(DslError, match="takes 2 arguments, the item has 3"):
        channel.of((1, 2, 3)).map(lambda a, b: a + b)  # type: ignore[misc, arg-type]


def test_range_items_are_expanded() -> None:
    """`of` gives the numbers of a range; a list is one item."""
    assert ["a", 1, 2, [5, 6]] == items(lambda: channel.of("a", range(1, 3), [5, 6]))

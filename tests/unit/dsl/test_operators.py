"""Every operator with the results that Nextflow documents for it, and its edge cases."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr.dsl import DslError, channel, groupKey
from snakemake_executor_plugin_hpcctr.dsl.trace import Trace, tracing
from tests.unit.dsl.traced import items

if TYPE_CHECKING:
    from collections.abc import Callable

of: Any = channel.of


def words() -> Any:
    """Return a queue of one-letter words."""
    return of("a", "b", "c")


def empty() -> Any:
    """Return an empty queue."""
    return channel.empty()


N = range(1, 8)
CASES: dict[str, tuple[Callable[[], Any], list[Any]]] = {
    # --- factories
    "of: ranges are expanded": (lambda: of("a", range(1, 4)), ["a", 1, 2, 3]),
    "of: nothing": (of, []),
    "of: a list is one item": (lambda: of([1, 2]), [[1, 2]]),
    "fromList: one level": (lambda: channel.fromList([[1, 2], 3]), [[1, 2], 3]),
    "fromList: empty": (lambda: channel.fromList([]), []),
    "value: a list is one item": (lambda: channel.value([1, 2]), [[1, 2]]),
    "empty": (empty, []),
    # --- map
    "map": (lambda: of(1, 2, 3).map(lambda x: x * x), [1, 4, 9]),
    "map: None is dropped": (lambda: of(1, 2, 3).map(lambda x: x if x != 2 else None), [1, 3]),
    "map: 0 and '' stay": (lambda: of(1, 2).map(lambda x: 0 if x == 1 else ""), [0, ""]),
    "map: several parameters": (lambda: of(("a", 1)).map(lambda k, v: (v, k)), [(1, "a")]),
    "map: one parameter takes the tuple": (lambda: of(("a", 1)).map(lambda t: t[1]), [1]),
    "map: a list is destructured, too": (lambda: of(["a", 1]).map(lambda k, v: k * v), ["a"]),
    # --- flatMap
    "flatMap": (lambda: of(1, 2).flatMap(lambda n: [n, n * 10]), [1, 10, 2, 20]),
    "flatMap: one level": (lambda: of(1).flatMap(lambda n: [[n], n]), [[1], 1]),
    "flatMap: a dict's entries": (
        lambda: of(1, 2).flatMap(lambda n: {"number": n}), [("number", 1), ("number", 2)],
    ),
    "flatMap: a scalar is itself": (lambda: of(1).flatMap(lambda n: n + 1), [2]),
    "flatMap: an empty list is nothing": (lambda: of(1, 2).flatMap(lambda _n: []), []),
    "flatMap: without a function": (lambda: of([1, 2], 3).flatMap(), [1, 2, 3]),
    # --- filter
    "filter: function": (lambda: of(1, 2, 3).filter(lambda x: x % 2), [1, 3]),
    "filter: regex matches the whole": (
        lambda: of("a", "b", "aa", 3).filter(re.compile("a+")), ["a", "aa"],
    ),
    "filter: regex, not a part": (lambda: of("xa", "a").filter(re.compile("a")), ["a"]),
    "filter: type": (lambda: of(1, "a", 2.5).filter(str), ["a"]),
    "filter: literal": (lambda: of(1, "a", 1).filter(1), [1, 1]),
    "filter: several parameters": (
        lambda: of(("a", 1), ("b", 2)).filter(lambda _k, v: v > 1), [("b", 2)],
    ),
    # --- flatten
    "flatten: deep": (lambda: of([1, [2, 3]], 4, [5, [6]]).flatten(), [1, 2, 3, 4, 5, 6]),
    "flatten: tuples": (lambda: of((1, (2,))).flatten(), [1, 2]),
    "flatten: a dict stays": (lambda: of([{"a": 1}]).flatten(), [{"a": 1}]),
    # --- mix, concat
    "mix": (lambda: of(1, 2).mix(of("a"), of("z")), [1, 2, "a", "z"]),
    "mix: a value adds its item": (lambda: of(1).mix(channel.value(2)), [1, 2]),
    "mix: with empty": (lambda: empty().mix(of(1)), [1]),
    "concat": (lambda: of("a", "b").concat(of(1), of("p")), ["a", "b", 1, "p"]),
    # --- merge
    "merge": (lambda: of(1, 2, 3).merge(of("a", "b")), [(1, "a"), (2, "b")]),
    "merge: flattens one level": (lambda: of((1, 2)).merge(of([3, [4]])), [(1, 2, 3, [4])]),
    "merge: a value is reused": (lambda: of(1, 2).merge(channel.value("v")), [(1, "v"), (2, "v")]),
    # --- combine
    "combine": (
        lambda: of(1, 2, 3).combine(of("hello", "ciao")),
        [(1, "hello"), (1, "ciao"), (2, "hello"), (2, "ciao"), (3, "hello"), (3, "ciao")],
    ),
    "combine: with a list": (lambda: of(1).combine(["a", "b"]), [(1, "a"), (1, "b")]),
    "combine: flattens one level": (
        lambda: of((1, "x")).combine(of(("a", ["b"]))), [(1, "x", "a", ["b"])],
    ),
    "combine: with empty": (lambda: of(1).combine(empty()), []),
    "combine: by key, duplicates multiplied": (
        lambda: of((1, "alpha"), (2, "beta")).combine(of((1, "x"), (1, "y"), (2, "p")), by=0),
        [(1, "alpha", "x"), (1, "alpha", "y"), (2, "beta", "p")],
    ),
    "combine: by another column": (
        lambda: of(("a", 1), ("b", 2)).combine(of(("x", 1)), by=1), [(1, "a", "x")],
    ),
    "combine: by several": (
        lambda: of((1, 2, "l")).combine(of((1, 2, "r"), (1, 3, "n")), by=[0, 1]),
        [(1, 2, "l", "r")],
    ),
    # --- cross
    "cross": (
        lambda: of((1, "alpha"), (2, "beta")).cross(of((1, "x"), (1, "y"), (2, "p"), (3, "n"))),
        [((1, "alpha"), (1, "x")), ((1, "alpha"), (1, "y")), ((2, "beta"), (2, "p"))],
    ),
    "cross: the last left item counts": (
        lambda: of((1, "old"), (1, "new")).cross(of((1, "x"))), [((1, "new"), (1, "x"))],
    ),
    "cross: by a function": (
        lambda: of("ab").cross(of("ac", "bc"), lambda s: s[0]), [("ab", "ac")],
    ),
    # --- join
    "join": (
        lambda: of(("X", 1), ("Y", 2), ("Z", 3), ("P", 7)).join(of(("Z", 6), ("Y", 5), ("X", 4))),
        [("Z", 3, 6), ("Y", 2, 5), ("X", 1, 4)],
    ),
    "join: remainder": (
        lambda: of(("X", 1), ("P", 7)).join(of(("X", 4), ("Q", 8)), remainder=True),
        [("X", 1, 4), ("P", 7, None), ("Q", None, 8)],
    ),
    "join: one None for several values": (
        lambda: of(("X", 1, 2)).join(of(("Q", 8, 9)), remainder=True),
        [("X", 1, 2, None), ("Q", None, 8, 9)],
    ),
    "join: duplicates, first with first": (
        lambda: of((1, "a"), (1, "b")).join(of((1, "x"), (1, "y"))), [(1, "a", "x"), (1, "b", "y")],
    ),
    "join: scalars": (lambda: of(1, 2, 3).join(of(3, 1)), [3, 1]),
    "join: by another column": (
        lambda: of(("a", 1)).join(of(("b", 1)), by=1), [(1, "a", "b")],
    ),
    "join: by several": (
        lambda: of((1, "k", "l")).join(of((1, "k", "r")), by=[0, 1]), [(1, "k", "l", "r")],
    ),
    "join: by a field": (
        lambda: of({"id": 1, "a": 2}).join(of({"id": 1, "b": 3}), by="id"),
        [({"id": 1, "a": 2}, {"id": 1, "b": 3})],
    ),
    "join: with empty": (lambda: of((1, 2)).join(empty()), []),
    # --- groupTuple
    "groupTuple": (
        lambda: of((1, "A"), (1, "B"), (2, "C"), (1, "C"), (2, "A")).groupTuple(),
        [(1, ["A", "B", "C"]), (2, ["C", "A"])],
    ),
    "groupTuple: all columns in step": (
        lambda: of((1, "a", "x"), (1, "b", "y")).groupTuple(), [(1, ["a", "b"], ["x", "y"])],
    ),
    "groupTuple: by keeps the column's place": (
        lambda: of((1, "A"), (2, "A"), (3, "B")).groupTuple(by=1), [([1, 2], "A"), ([3], "B")],
    ),
    "groupTuple: by several": (
        lambda: of(("a", 1, "k"), ("a", 2, "k")).groupTuple(by=[0, 2]), [("a", [1, 2], "k")],
    ),
    "groupTuple: size emits full groups and drops the rest": (
        lambda: of((1, "a"), (1, "b"), (1, "c"), (2, "d")).groupTuple(size=2), [(1, ["a", "b"])],
    ),
    "groupTuple: a group may start again": (
        lambda: of(*((1, n) for n in range(4))).groupTuple(size=2), [(1, [0, 1]), (1, [2, 3])],
    ),
    "groupTuple: remainder": (
        lambda: of((1, "a"), (1, "b"), (1, "c")).groupTuple(size=2, remainder=True),
        [(1, ["a", "b"]), (1, ["c"])],
    ),
    "groupTuple: groupKey": (
        lambda: of((groupKey("k", 2), 1), (groupKey("l", 1), 2), (groupKey("k", 2), 3))
        .groupTuple(),
        [("l", [2]), ("k", [1, 3])],
    ),
    "groupTuple: sort": (
        lambda: of((1, "b"), (1, "a")).groupTuple(sort=True), [(1, ["a", "b"])],
    ),
    "groupTuple: sort by a function": (
        lambda: of((1, "bb"), (1, "a"), (1, "ccc")).groupTuple(sort=lambda s: -len(s)),
        [(1, ["ccc", "bb", "a"])],
    ),
    "groupTuple: metadata as a key": (
        lambda: of(({"id": 1}, "a"), ({"id": 1}, "b")).groupTuple(), [({"id": 1}, ["a", "b"])],
    ),
    # --- transpose
    "transpose": (
        lambda: of((1, ["A", "B", "C"]), (2, ["C"])).transpose(),
        [(1, "A"), (1, "B"), (1, "C"), (2, "C")],
    ),
    "transpose: stops at the shortest": (
        lambda: of((1, ["A", "B"], ["C"])).transpose(), [(1, "A", "C")],
    ),
    "transpose: remainder": (
        lambda: of((1, ["A", "B"], ["C"])).transpose(remainder=True),
        [(1, "A", "C"), (1, "B", None)],
    ),
    "transpose: by": (
        lambda: of((1, [1, 2], ["a"])).transpose(by=1), [(1, 1, ["a"]), (1, 2, ["a"])],
    ),
    "transpose: no list": (lambda: of((1, "A")).transpose(), [(1, "A")]),
    "transpose: empty list": (lambda: of((1, [])).transpose(), []),
    # --- collect and the like
    "collect": (lambda: of(1, 2, 3).collect(), [[1, 2, 3]]),
    "collect: function": (lambda: of("hi", "ciao").collect(len), [[2, 4]]),
    "collect: flattens one level": (lambda: of([1, [2]], 3).collect(), [[1, [2], 3]]),
    "collect: flat=False": (lambda: of((1, 2), (3, 4)).collect(flat=False), [[(1, 2), (3, 4)]]),
    "collect: sort": (lambda: of(3, 1, 2).collect(sort=True), [[1, 2, 3]]),
    "collect: empty is nothing": (lambda: empty().collect(), []),
    "toList": (lambda: of(1, [2, 3]).toList(), [[1, [2, 3]]]),
    "toList: empty is a list": (lambda: empty().toList(), [[]]),
    "toSortedList": (lambda: of(3, 2, 1, 4).toSortedList(), [[1, 2, 3, 4]]),
    "toSortedList: comparator": (
        lambda: of(3, 2, 1, 4).toSortedList(lambda a, b: b - a), [[4, 3, 2, 1]],
    ),
    "toSortedList: key": (
        lambda: of(("homer", 5), ("bart", 2)).toSortedList(lambda t: t[1]),
        [[("bart", 2), ("homer", 5)]],
    ),
    "toSortedList: empty": (lambda: empty().toSortedList(), [[]]),
    "count": (lambda: of(1, 7, 1).count(), [3]),
    "count: literal": (lambda: of(4, 1, 7, 1, 1).count(1), [3]),
    "count: regex": (lambda: of("a", "c", "c").count(re.compile("c")), [2]),
    "count: function": (lambda: of("a", "c", "bb").count(lambda s: len(s) == 1), [2]),
    "count: empty": (lambda: empty().count(), [0]),
    "min": (lambda: of(8, 6, 2, 5).min(), [2]),
    "max": (lambda: of(8, 6, 2, 5).max(), [8]),
    "min: by a function": (
        lambda: of("hello", "hi", "hey").min(len), ["hi"],
    ),
    "max: comparator": (
        lambda: of("hello", "hi", "hey").max(lambda a, b: len(a) - len(b)), ["hello"],
    ),
    "min: empty": (lambda: empty().min(), []),
    "sum": (lambda: of(8, 6, 2, 5).sum(), [21]),
    "sum: function": (lambda: of(4, 1, 7, 5).sum(lambda x: x * x), [91]),
    "sum: lists element by element": (lambda: of([1, 2], [3, 4]).sum(), [[4, 6]]),
    "sum: empty": (lambda: empty().sum(), []),
    "reduce": (lambda: of(1, 2, 3, 4, 5).reduce(lambda a, b: a + b), [15]),
    "reduce: seed": (lambda: of("x", "y").reduce("seed", lambda a, b: f"{a}-{b}"), ["seed-x-y"]),
    "reduce: empty with seed": (lambda: empty().reduce(0, lambda a, b: a + b), [0]),
    "reduce: empty without": (lambda: empty().reduce(lambda a, b: a + b), []),
    "first": (lambda: of(1, 2, 3).first(), [1]),
    "first: regex": (lambda: of("a", "aa", "aaa").first(re.compile("aa.*")), ["aa"]),
    "first: type": (lambda: of(1, 2, "a").first(str), ["a"]),
    "first: function": (lambda: of(1, 2, 3, 4).first(lambda x: x > 3), [4]),
    "first: empty": (lambda: empty().first(), []),
    "last": (lambda: of(*N).last(), [7]),
    "last: empty": (lambda: empty().last(), []),
    # --- some of all
    "take": (lambda: of(*N).take(3), [1, 2, 3]),
    "take: 0": (lambda: of(*N).take(0), []),
    "take: all": (lambda: of(1, 2).take(-1), [1, 2]),
    "until": (lambda: of(3, 2, 1, 5, 1, 5).until(lambda x: x == 5), [3, 2, 1]),
    "until: literal": (lambda: of(3, 2, 1, 5).until(1), [3, 2]),
    "unique": (lambda: of(1, 1, 1, 5, 7, 7, 7, 3, 3).unique(), [1, 5, 7, 3]),
    "unique: function": (
        lambda: of(1, 3, 4, 5, 7, 8).unique(lambda x: x % 2), [1, 4],
    ),
    "unique: lists": (lambda: of([1], [1], {"a": 1}, {"a": 1}).unique(), [[1], {"a": 1}]),
    "distinct": (lambda: of(1, 1, 2, 2, 2, 3, 1, 1, 2).distinct(), [1, 2, 3, 1, 2]),
    "distinct: function": (
        lambda: of(1, 1, 2, 2, 2, 3, 1, 1, 2, 4, 6).distinct(lambda x: x % 2), [1, 2, 3, 2],
    ),
    "ifEmpty: not empty": (lambda: of(1, 2).ifEmpty("hello"), [1, 2]),
    "ifEmpty: empty": (lambda: empty().ifEmpty("hello"), ["hello"]),
    "ifEmpty: function": (lambda: empty().ifEmpty(lambda: 3), [3]),
    "randomSample: all": (lambda: of(1, 2).randomSample(5, seed=1).toSortedList(), [[1, 2]]),
    # --- neighbours
    "collate": (lambda: of(*N).collate(3), [[1, 2, 3], [4, 5, 6], [7]]),
    "collate: no remainder": (lambda: of(*N).collate(3, remainder=False), [[1, 2, 3], [4, 5, 6]]),
    "collate: step": (
        lambda: of(1, 2, 3, 4).collate(3, 1), [[1, 2, 3], [2, 3, 4], [3, 4], [4]],
    ),
    "collate: step, no remainder": (
        lambda: of(1, 2, 3, 4).collate(3, 1, remainder=False), [[1, 2, 3], [2, 3, 4]],
    ),
    "buffer: close": (
        lambda: of(1, 2, 3, 1, 2, 3, 1).buffer(lambda x: x == 2), [[1, 2], [3, 1, 2]],
    ),
    "buffer: literal": (lambda: of(1, 2, 3, 1, 2).buffer(2), [[1, 2], [3, 1, 2]]),
    "buffer: close and remainder": (
        lambda: of(1, 2, 3).buffer(2, remainder=True), [[1, 2], [3]],
    ),
    "buffer: open and close": (
        lambda: of(1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2).buffer(2, 4), [[2, 3, 4], [2, 3, 4]],
    ),
    "buffer: a close outside is nothing": (lambda: of(4, 2, 3, 4).buffer(2, 4), [[2, 3, 4]]),
    "buffer: size": (lambda: of(1, 2, 3, 1, 2, 3, 1).buffer(size=2), [[1, 2], [3, 1], [2, 3]]),
    "buffer: size and remainder": (
        lambda: of(1, 2, 3).buffer(size=2, remainder=True), [[1, 2], [3]],
    ),
    "buffer: skip": (
        lambda: of(1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 9).buffer(size=3, skip=2),
        [[3, 4, 5], [3, 4, 5]],
    ),
    # --- looking
    "view": (lambda: of(1, 2).view(), [1, 2]),
    "dump": (lambda: of(1, 2).dump(tag="x"), [1, 2]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_documented_results(case: str) -> None:
    """Each operator gives what Nextflow's reference says."""
    build, expected = CASES[case]
    found = items(build)
    assert expected == found
    assert [type(e) is tuple for e in expected] == [type(f) is tuple for f in found]


KINDS: dict[str, Callable[[Any], Any]] = {
    "=": lambda c: [c.map(str), c.filter(1), c.ifEmpty(1), c.view(), c.unique(), c.distinct(),
                    c.until(1), c.dump(), c.multiMap(a=str).a, c.branch(a=True).a],
    "queue": lambda c: [c.flatMap(), c.flatten(), c.combine([1]), c.join(of(1)), c.mix(of(1)),
                        c.concat(of(1)), c.take(1), c.collate(2), c.buffer(1), c.cross(of(1)),
                        c.splitText(), c.transpose()],
    "value": lambda c: [c.collect(), c.toList(), c.toSortedList(), c.count(), c.min(), c.max(),
                        c.sum(), c.reduce(lambda a, _b: a), c.last(), c.first(str)],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["queue", "value"])
def test_kinds(kind: str, source: str) -> None:
    """Operators keep their source's kind, or always give a queue or a value."""
    with tracing(Trace()):
        made = KINDS[kind](of("x") if source == "queue" else channel.value("x"))
        expected = source if kind == "=" else kind
        assert {expected} == {one._node.kind for one in made}


def test_branch_gives_an_item_to_the_first_label() -> None:
    """The first true label wins; True takes what is left; a function makes the value."""

    def build(label: str) -> Any:
        made = of(1, 2, 3, 40, 50).branch(
            small=lambda x: x < 3, middle=(lambda x: x < 10, lambda x: x * 100), large=True
        )
        return getattr(made, label)

    assert [1, 2] == items(lambda: build("small"))
    assert [300] == items(lambda: build("middle"))
    assert [40, 50] == items(lambda: build("large"))


def test_branch_drops_what_no_label_takes() -> None:
    """Without a fallback the rest is dropped."""
    assert [1] == items(lambda: of(1, 20).branch(small=lambda x: x < 3).small)


def test_multi_map_gives_every_item_to_every_label() -> None:
    """Each label has its own function; None stays."""

    def build(label: str) -> Any:
        return getattr(of(1, 2).multiMap(plus=lambda x: x + 1, none=lambda _x: None), label)

    assert [2, 3] == items(lambda: build("plus"))
    assert [None, None] == items(lambda: build("none"))


def test_random_samples_are_the_same_each_time() -> None:
    """A seed chooses the same items in every run."""
    build = lambda: of(*range(100)).randomSample(5, seed=7)  # noqa: E731
    assert items(build) == items(build)
    assert 5 == len(set(items(build)))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "randomSample without a seed": (lambda: of(1).randomSample(1), "needs a seed"),
    "join: both options": (
        lambda: of(1).join(of(1), remainder=True, failOnMismatch=True), "remainder keeps",
    ),
    "join: mismatch": (
        lambda: of((1, "a"), (2, "b")).join(of((1, "x"), (3, "z")), failOnMismatch=True),
        "only on the left: 2; only on the right: 3",
    ),
    "join: duplicate on the left": (
        lambda: of((1, "a"), (1, "b")).join(of((1, "x")), failOnDuplicate=True), "more than once",
    ),
    "join: duplicate on the right": (
        lambda: of((1, "a")).join(of((1, "x"), (1, "y")), failOnDuplicate=True), "more than once",
    ),
    "join: no such column": (lambda: of((1, 2)).join(of((1, 2)), by=5), "no column 5"),
    "groupTuple: no tuple": (lambda: of(1).groupTuple(), "the item is no tuple"),
    "groupTuple: other length": (
        lambda: of((1, 2), (1, 2, 3)).groupTuple(), "the item has 3 elements",
    ),
    "transpose: no list": (lambda: of((1, 2)).transpose(by=1), "column 1 is no list"),
    "collate: size 0": (lambda: of(1).collate(0), "at least 1"),
    "buffer: nothing": (lambda: of(1).buffer(), "`buffer` takes"),
    "take: negative": (lambda: of(1).take(-2), "expected a number"),
    "toSortedList: not comparable": (lambda: of(1, "a").toSortedList(), "cannot be put in order"),
    "randomSample: negative": (lambda: of(1).randomSample(-1, seed=1), "expected a number"),
    "min: not comparable": (lambda: of(1, "a").min(), "`min`: the items cannot be put in order"),
    "max: a comparator without a result": (
        lambda: of(1, 2).max(lambda _a, _b: None), "`max`: the items cannot be put in order",
    ),
    "groupTuple: no such order": (
        lambda: of(("k", 1)).groupTuple(sort="size"), "`groupTuple`: the order cannot be 'size'",
    ),
    "reduce: the function": (
        lambda: of(1, 2).reduce(lambda a, _b: a.x), "`reduce`: the function raised AttributeError",
    ),
    "ifEmpty: the function": (
        lambda: empty().ifEmpty(lambda: 1 // 0), "`ifEmpty`: the function raised ZeroDivisionError",
    ),
    "branch: no such label": (lambda: of(1).branch(a=True).b, "no label `b`"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_operators_refuse(case: str) -> None:
    """What an operator cannot take is an error with a place."""
    build, said = REFUSED[case]
    with pytest.raises(DslError) as caught:
        items(build)
    assert said in caught.value.what
    assert caught.value.span is not None


def test_groups_that_never_fill_are_named() -> None:
    """A group that does not reach its size is dropped, and the run says which."""
    with tracing(Trace()) as trace:
        of(("a", 1), ("b", 2), ("b", 3)).groupTuple(size=2)
    assert "'a' (1 of 2)" in trace.warnings[0]

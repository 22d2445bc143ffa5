from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.schedulers.slurm.ids import (
    by_cluster,
    chunks,
    compress,
    expand,
    join_cluster,
    ranges,
    split_cluster,
)
from snakemake_executor_plugin_hpcctr.schedulers.slurm.pattern import Pattern, find_pattern

index_sets = st.sets(st.integers(0, 300), min_size=1)
#: Parts of paths around an index: no digit may touch it.
befores = st.text(st.characters(codec="utf-8"), max_size=8).map(lambda text: f"/{text}.")
afters = st.text(st.characters(codec="utf-8"), max_size=8).map(lambda text: f".{text}")


@pytest.mark.parametrize(
    ("printed", "elements"),
    [
        ("12", ["12"]),
        ("12_3", ["12_3"]),
        ("12_[3]", ["12_3"]),
        ("12_[3-5%2]", ["12_3", "12_4", "12_5"]),
        ("44_[0-1,8-9%1]", ["44_0", "44_1", "44_8", "44_9"]),
        ("12_[0-8:4]", ["12_0", "12_4", "12_8"]),
        ("12_[1,3,5,...]", ["12_1", "12_3", "12_5"]),
        ("12_[1,3,...", ["12_1", "12_3"]),
    ],
)
def test_blocks_stand_for_their_elements(printed: str, elements: list[str]) -> None:
    """An id as Slurm prints it names one element, or the elements of a block."""
    assert elements == list(expand(printed))


@given(index_sets)
def test_compressed_ids_name_the_same_elements(indices: set[int]) -> None:
    """What is compressed for scancel expands to the same elements."""
    elements = {f"7_{index}" for index in indices}
    assert elements == {one for word in compress(elements) for one in expand(word)}


def test_compression_keeps_plain_jobs_and_groups_arrays() -> None:
    """Jobs stay as they are, elements of one array share a word."""
    assert ["5", "9_[0-2,7]", "6"] == compress(["5", "9_2", "9_0", "6", "9_1", "9_7"])


def test_ranges_are_as_short_as_can_be() -> None:
    """Neighbours become a range, single numbers stay."""
    assert "0-2,4,6-7" == ranges([7, 0, 1, 2, 4, 6])


@given(st.lists(st.integers()), st.integers(1, 9))
def test_chunks_lose_nothing(items: list[int], size: int) -> None:
    """Chunks are at most as large as asked, and their items are all items in order."""
    pieces = list(chunks(items, size))
    assert items == [item for piece in pieces for item in piece]
    assert all(1 <= len(piece) <= size for piece in pieces)


@pytest.mark.parametrize("element", ["12", "12_3", "12;abc", "12_3;abc"])
def test_an_element_is_its_id_and_its_cluster(element: str) -> None:
    """The parts of an element's id make the same id again."""
    assert element == join_cluster(*split_cluster(element))


def test_elements_are_grouped_by_cluster() -> None:
    """Slurm's commands ask one cluster at a time, by ids without its name."""
    assert {"": ["1", "2_3"], "abc": ["1_0"]} == by_cluster(["1", "1_0;abc", "2_3"])


@given(befores, afters, st.lists(st.integers(0, 2000), min_size=2, unique=True))
def test_the_pattern_of_paths_is_found(before: str, after: str, indices: list[int]) -> None:
    """Paths that differ in their index only give that pattern, with the indices in order."""
    paths = [f"{before}{index}{after}" for index in indices]
    found = find_pattern(paths)
    assert paths == [f"{found.before}{index}{found.after}" for index in found.indices]


def test_a_part_of_an_array_keeps_its_indices() -> None:
    """The second half of an array still has the indices of its scripts' names."""
    paths = [f"/run/7.{index}.sh" for index in range(500, 510)]
    assert Pattern("/run/7.", ".sh", tuple(range(500, 510))) == find_pattern(paths)


@pytest.mark.parametrize(
    "paths",
    [
        ["/a/1.sh", "/b/2.sh"],
        ["/a/1.sh", "/a/1.sh"],
        ["/a/01.sh", "/a/02.sh"],
        ["/a/x.sh", "/a/y.sh"],
        ["/a/1.sh", "/a/.sh"],
    ],
)
def test_other_paths_are_no_array(paths: list[str]) -> None:
    """Paths that no array index could produce are a mistake of the caller."""
    with pytest.raises(ValueError, match="not the paths of one array"):
        find_pattern(paths)

"""Axes → combinations of values: grid, zip, or drawn ones."""

from __future__ import annotations

import itertools
import math
import random
import warnings
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.sweep.model import MOST_TRIALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from snakemake_executor_plugin_hpcctr.sweep.load import Loaded
    from snakemake_executor_plugin_hpcctr.sweep.naming import Value
    from snakemake_executor_plugin_hpcctr.sweep.space import Axis, Point

#: Of so many drawn in a row none fulfilled the conditions: they probably leave nothing.
PATIENCE = 10_000


def combinations(loaded: Loaded, axes: Sequence[Axis]) -> Iterator[dict[str, Value]]:
    """Yield the combinations that a sweep asks for, before any conditions.

    `random` goes on for ever: the caller takes what it needs.

    Raises:
        ConfigError: Too many, or lists that do not fit together.
    """
    config = loaded.config
    names = tuple(name for axis in axes for name in axis.names)
    seed = config.sampling_seed or 0
    points: Iterator[tuple[Point, ...]]
    match config.combine:
        case "zip":
            points = _zip(loaded, axes)
        case "random":
            points = _random(axes, seed)
        case "latin_hypercube" | "sobol":
            points = _drawn(loaded, axes, config.trials or 0, seed)
        case _:
            points = _grid(loaded, axes)
    for combination in points:
        yield dict(zip(names, itertools.chain.from_iterable(combination), strict=True))


def _grid(loaded: Loaded, axes: Sequence[Axis]) -> Iterator[tuple[Point, ...]]:
    sizes = [len(axis.points) for axis in axes]
    if math.prod(sizes) > MOST_TRIALS:
        product = " x ".join(f"{size:,}" for size in sizes)
        raise ConfigError(
            f"the grid has {math.prod(sizes):,} trials ({product}), more than {MOST_TRIALS:,}",
            where=loaded.at("parameters"),
            next_step="draw some of them: `combine: random` and `trials: 100`",
        )
    return itertools.product(*(axis.points for axis in axes))


def _zip(loaded: Loaded, axes: Sequence[Axis]) -> Iterator[tuple[Point, ...]]:
    seeds = [axis for axis in axes if axis.names == ("seed",) and loaded.config.replicates]
    zipped = [axis for axis in axes if axis not in seeds]
    sizes = {axis.names[0]: len(axis.points) for axis in zipped}
    if len(set(sizes.values())) > 1:
        raise ConfigError(
            "zip needs lists of one length, got "
            + ", ".join(f"{name}: {size}" for name, size in sizes.items()),
            where=loaded.at("combine"),
            next_step="make them equally long, or write `combine: grid`",
        )
    for row in zip(*(axis.points for axis in zipped), strict=True):
        for seed in itertools.product(*(axis.points for axis in seeds)):
            yield (*row, *seed)


def _random(axes: Sequence[Axis], seed: int) -> Iterator[tuple[Point, ...]]:
    """Draw trial after trial, so that a larger number of trials keeps those of a smaller one."""
    draw = random.Random(seed)  # noqa: S311 (a sample of parameters, no secret)
    while True:
        yield tuple(axis.at(draw.random()) for axis in axes)


def _drawn(
    loaded: Loaded, axes: Sequence[Axis], trials: int, seed: int
) -> Iterator[tuple[Point, ...]]:
    for shares in _sampler(loaded)(len(axes), trials, seed):
        yield tuple(axis.at(share) for axis, share in zip(axes, shares, strict=True))


def _sampler(loaded: Loaded) -> Callable[[int, int, int], list[list[float]]]:
    try:
        from scipy.stats import qmc  # noqa: PLC0415 (an extra, and slow to load)
    except ImportError:
        raise ConfigError(
            f"{loaded.config.combine} needs SciPy, which is not installed",
            where=loaded.at("combine"),
            next_step="pip install 'snakemake-executor-plugin-hpcctr[sweep]', or write "
            "`combine: random`",
        ) from None

    def sample(dimensions: int, count: int, seed: int) -> list[list[float]]:
        engine = qmc.LatinHypercube if loaded.config.combine == "latin_hypercube" else qmc.Sobol
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a number that is no power of two
            found: list[list[float]] = engine(dimensions, rng=seed).random(count).tolist()
            return found

    return sample

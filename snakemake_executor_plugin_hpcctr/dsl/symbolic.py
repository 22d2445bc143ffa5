"""What has no value while a workflow is traced: Python must not look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from snakemake_executor_plugin_hpcctr.dsl.errors import SymbolicUse
from snakemake_executor_plugin_hpcctr.dsl.spans import here


class Symbolic:
    """Base of what has no value while a workflow is traced: Python must not look at it."""

    def _refuse(self, use: str, advice: str) -> NoReturn:
        raise SymbolicUse(f"a channel has no {use} here", span=here(), next_step=advice)

    if TYPE_CHECKING:
        __iter__: None
        __contains__: None
    else:

        def __iter__(self) -> NoReturn:
            self._refuse(
                "items to loop over",
                "write `.map(function)`, or pass the channel to a process: it runs for each item",
            )

        def __contains__(self, _item: object) -> NoReturn:
            self._refuse("items to look into", "write `.filter(lambda x: x == …)`")

        def __eq__(self, _other: object) -> NoReturn:
            self._refuse("value to compare", "write `.filter(lambda x: x == …)` or `.branch(…)`")

        def __lt__(self, _other: object) -> NoReturn:
            self._refuse("value to compare", "write `.filter(lambda x: x < …)` or `.branch(…)`")

        __ne__ = __eq__
        __le__ = __gt__ = __ge__ = __lt__
        __hash__ = object.__hash__

    def __bool__(self) -> NoReturn:  # noqa: PLE0304 (it raises)
        self._refuse(
            "truth value",
            "`if`, `and`, `or`, `not` decide before anything ran: write `.filter(…)`, "
            "`.branch(…)` or `.ifEmpty(…)`",
        )

    def __len__(self) -> NoReturn:  # noqa: PLE0303 (it raises)
        self._refuse("length", "write `.count()`, which is a channel, too")

    def __getitem__(self, _index: object) -> NoReturn:
        self._refuse("element to take", "write `.map(lambda item: item[0])`")

    def __str__(self) -> str:  # noqa: PLE0307 (it raises)
        self._refuse(
            "text",
            "an f-string is filled before anything ran: write `${name}` in the script, or "
            "`.map(lambda x: f'…')`",
        )

    def __format__(self, _spec: str) -> str:
        return str(self)

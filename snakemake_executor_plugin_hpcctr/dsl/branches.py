"""What `branch` and `multiMap` return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.spans import here
from snakemake_executor_plugin_hpcctr.dsl.symbolic import Symbolic

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.dsl.channels import Channel


class Branches(Symbolic):
    """The channels of `branch` and `multiMap`, by label."""

    def __init__(self, channels: dict[str, Channel[Any]]) -> None:
        self.__dict__.update(channels)

    def __getattr__(self, label: str) -> Channel[Any]:
        if label.startswith("__"):
            raise AttributeError(label)
        raise DslError(
            f"there is no label `{label}`",
            span=here(),
            next_step=f"the labels are {', '.join(self.__dict__)}",
        )

"""The lab's own state: that it was started, with which settings, on which ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.lab.conf import State

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.lab.layout import Layout


def read_state(layout: Layout) -> State | None:
    """Return the state of a lab that was started and not ended, or None.

    Raises:
        ConfigError: The file was changed, or written by another release of hpcctr.
    """
    try:
        return State.model_validate_json(layout.state_file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ConfigError(
            "the state of the lab cannot be read",
            where=str(layout.state_file),
            next_step="end its daemons by the pid files in "
            f"`{layout.runtime}`, then remove the lab's folder",
        ) from error


def write_state(layout: Layout, state: State) -> None:
    """Write the state in one step, so that it is never half there."""
    part = layout.state_file.with_suffix(".part")
    part.write_text(state.model_dump_json(indent=2))
    part.replace(layout.state_file)

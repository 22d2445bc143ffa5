"""Every error that hpcctr raises on purpose.

HpcctrError
├── ConfigError     a file, flag or resource that the user wrote is wrong
├── ImageError      an image is missing, of the wrong kind, or cannot be had
├── EngineError     a container engine cannot express the task
│   └── EngineMissing  no node has the engine
├── SubmitError     the scheduler refused or did not answer
└── CommandError    a program that hpcctr runs failed or was not there
"""

from __future__ import annotations


class HpcctrError(Exception):
    """Say what is wrong, where, and what to do next.

    Args:
        what: One sentence without a full stop.
        where: File, rule and key concerned, as the user knows them; "" if there is none.
        next_step: What the user can do; "" if nothing more helpful than `what` can be said.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\nhint: {self.next_step}" if self.next_step else head

    def at(self, where: str) -> HpcctrError:
        """Return the same error, placed (used where only the caller knows rule or file)."""
        if not self.where:
            self.where = where
        return self


class ConfigError(HpcctrError):
    """A configuration file, flag or rule resource cannot be used as it is written."""

    exit_code = 2


class ImageError(HpcctrError):
    """An image is missing, damaged, of the wrong kind, or cannot be pulled."""


class EngineError(HpcctrError):
    """A container engine cannot express what the task asks."""


class EngineMissing(EngineError):  # noqa: N818 (reads as what it is)
    """No node that a rule may get has an engine that could run it."""


class SubmitError(HpcctrError):
    """The scheduler refused a submission or could not be reached.

    Args:
        transient: True if the same call may succeed later (controller down, submit limit).
        too_many: True if fewer tasks at once may pass now (a limit on submitted jobs).
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        next_step: str = "",
        transient: bool = False,
        too_many: bool = False,
    ) -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.transient = transient
        self.too_many = too_many


class CommandError(HpcctrError):
    """A program that hpcctr itself runs is missing, failed or took too long."""

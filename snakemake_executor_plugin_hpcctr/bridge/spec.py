"""What the runner on a node has to do: a file, so that no setting stands on a command line."""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Spec:
    """One job for the runner.

    Args:
        snakemake: Version of Snakemake in the head; values are pickled for that one only.
        argv: Arguments of Snakemake's command line.
        rule: Rule whose `run:` block is to be called; "" if Snakemake itself runs what `argv`
            says.
        arguments: Pickled arguments of Snakemake's `run_wrapper`, by name; empty without a rule.
        checkpoints: Outputs of checkpoints that exist.
        environ: Variables to set first.
        own_storage: Whether local copies of storage files go to a folder of this job alone.
    """

    snakemake: str
    argv: tuple[str, ...]
    rule: str = ""
    arguments: bytes = b""
    checkpoints: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    own_storage: bool = False

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read what `text` wrote.

        Raises:
            ValueError: The text is not whole.
        """
        try:
            found = json.loads(text)
            return cls(
                snakemake=found["snakemake"],
                argv=tuple(found["argv"]),
                rule=found["rule"],
                arguments=b64decode(found["arguments"]),
                checkpoints=tuple(found["checkpoints"]),
                environ=found["environ"],
                own_storage=found["own_storage"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no job for the runner: {error}") from error

    def text(self) -> str:
        """Return the file's content: JSON, odd bytes in paths included."""
        return json.dumps({**asdict(self), "arguments": b64encode(self.arguments).decode()})

    def write(self, path: Path) -> None:
        """Write the file whole or not at all; only its owner can read it, it may hold secrets."""
        part = path.with_name(f"{path.name}.part")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:  # noqa: PTH123 (no other way to create it with this mode)
            stream.write(self.text())
        part.replace(path)

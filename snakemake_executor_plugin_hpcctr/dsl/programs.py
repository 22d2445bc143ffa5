"""The pipeline's own programs: `bin/` beside its file."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WORD = re.compile(r"[A-Za-z0-9_.+-]+")


@dataclass
class BinFolder:
    """Programs that scripts may call by name.

    Args:
        path: The folder; it need not exist.
    """

    path: Path

    @cached_property
    def _programs(self) -> dict[str, str]:
        if not self.path.is_dir():
            return {}
        return {
            file.name: hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
            for file in self.path.iterdir()
            if file.is_file() and os.access(file, os.X_OK)
        }

    def named_in(self, script: str) -> list[list[str]]:
        """Return name and content of each program that a script names."""
        if not self._programs:
            return []
        words = {*WORD.findall(script)} & self._programs.keys()
        return [[name, self._programs[name]] for name in sorted(words)]

"""Generic resources in Slurm's notation: `gpu:a100:4`."""

from __future__ import annotations

import re
from collections import Counter

#: NAME[:TYPE]:COUNT, where sinfo appends the sockets, `(S:0-1)`, and a request may leave out
#: the count.
GPUS = re.compile(
    r"gpu(?::(?P<model>(?!\d+(?:\(|$))[^:(=]+))?(?:[:=](?P<count>\d+))?(?:\([^)]*\))?"
)


def parse_gpus(text: str) -> Counter[str]:
    """Return how many GPUs of each model a list of generic resources has.

    A model is in small letters, "" where none is named.
    """
    gpus: Counter[str] = Counter()
    for part in re.split(r",(?![^(]*\))", text):
        if found := GPUS.fullmatch(part.strip().removeprefix("gres/").removeprefix("gres:")):
            gpus[(found["model"] or "").lower()] += int(found["count"] or 1)
    return gpus

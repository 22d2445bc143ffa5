"""Names of trials: what a person can read, and a hash that tells any two values apart.

`lr=0.01,batch=32~3f1c9a0b2d`: the part before `~` may be shortened and has characters replaced
that are awkward in paths; the hash comes from the exact names and values.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Value: TypeAlias = "bool | int | float | str"

#: Hexadecimal digits: two of 10,000 trials have the same hash once in 20,000 sweeps.
HASH_DIGITS = 10
MARK = "~"
#: At the end of a name, or alone as the wildcard of a rule's copy.
HASHED = re.compile(rf"(?:{MARK}|(?:^|,)trial=)([0-9a-f]{{{HASH_DIGITS}}})(?![0-9a-z])")
#: A rule of one trial, in a workflow that was repeated for each.
RULE = re.compile(rf"(.+)__trial_([0-9a-f]{{{HASH_DIGITS}}})")
PLAIN = frozenset("._+-")
VALUE_LENGTH = 32
#: A file's name has at most 255 bytes; some are left for what others append.
NAME_BYTES = 160


def digest_of(values: Mapping[str, Value]) -> str:
    """Return the hash of names and values; their order does not matter."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=HASH_DIGITS // 2).hexdigest()


def name_of(values: Mapping[str, Value]) -> str:
    """Return the trial's name: one component of a path, the same in every run."""
    readable = ",".join(f"{name}={_readable(value)}" for name, value in values.items())
    if len(readable) > NAME_BYTES // 4:  # a character has at most four bytes
        readable = readable.encode()[:NAME_BYTES].decode(errors="ignore")
    return f"{readable}{MARK}{digest_of(values)}"


def text_of(value: Value) -> str:
    """Return a value as it stands in sweep.yaml and in tables."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def digests_in(text: str) -> list[str]:
    """Return the hashes of trials' names in a text, such as a job's wildcards."""
    return HASHED.findall(text)


def rule_of_trial(rule: str, digest: str) -> str:
    """Return the name of a trial's own copy of a rule."""
    return f"{rule}__trial_{digest}"


def split_rule(name: str) -> tuple[str, str | None]:
    """Return the rule of a trial's copy, and the trial's hash; None for any other rule."""
    match = RULE.fullmatch(name)
    return (match[1], match[2]) if match else (name, None)


@lru_cache(maxsize=65536)
def _readable_text(text: str) -> str:
    whole = unicodedata.normalize("NFC", text[: 2 * VALUE_LENGTH])
    kept = [c if c.isalnum() or c in PLAIN else "-" for c in whole[:VALUE_LENGTH]]
    return "".join(kept)


def _readable(value: Value) -> str:
    return _readable_text(text_of(value))

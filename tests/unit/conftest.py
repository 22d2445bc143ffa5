"""Settings of the unit tests.

Properties are tried on some dozens of examples, most of them lists of texts; with
`pytest tests/unit --hypothesis-profile nightly` on ten thousand.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("quick", max_examples=40, deadline=None)
settings.register_profile("nightly", max_examples=10_000, deadline=None)
settings.load_profile("quick")

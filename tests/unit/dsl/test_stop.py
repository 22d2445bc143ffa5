from __future__ import annotations

import pytest

from snakemake_executor_plugin_hpcctr.dsl.runtime.stop import decide


@pytest.mark.parametrize(
    ("strategy", "attempt", "retries", "failures", "limit", "expected"),
    [
        ("terminate", 1, 3, 1, -1, "terminate"),
        ("finish", 1, 3, 1, -1, "finish"),
        ("ignore", 1, 0, 99, 1, "ignore"),
        ("retry", 1, 1, 1, -1, "retry"),
        ("retry", 2, 1, 2, -1, "terminate"),
        ("retry", 2, 2, 2, -1, "retry"),
        ("retry", 1, 0, 1, -1, "terminate"),
        ("retry", 1, 5, 2, 3, "retry"),
        ("retry", 1, 5, 3, 3, "terminate"),
    ],
)
def test_what_becomes_of_a_failed_task(
    strategy: str, attempt: int, retries: int, failures: int, limit: int, expected: str
) -> None:
    """A task's failures count against maxRetries, the process's against maxErrors."""
    decision = decide(
        strategy,
        attempt=attempt,
        max_retries=retries,
        process_failures=failures,
        max_errors=limit,
    )
    assert expected == decision

"""Work in threads that end with the process, where `concurrent.futures` would wait for its own."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")


def start(slots: threading.Semaphore, work: Callable[[], T]) -> Future[T]:
    """Begin a piece of work as soon as one of the slots is free."""
    future: Future[T] = Future()
    threading.Thread(target=_run, args=(slots, work, future), daemon=True).start()
    return future


def start_all(works: Iterable[Callable[[], T]], at_once: int) -> list[Future[T]]:
    """Begin several pieces of work, so many of them at once."""
    slots = threading.Semaphore(at_once)
    return [start(slots, work) for work in works]


def _run(slots: threading.Semaphore, work: Callable[[], T], future: Future[T]) -> None:
    with slots:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (whoever waits for the result gets it)
            future.set_exception(error)

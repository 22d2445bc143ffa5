"""Images of a run: pulled and converted beside it, each once, two at a time."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.images import threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from snakemake_executor_plugin_hpcctr.images.provide import Provided, Provider
    from snakemake_executor_plugin_hpcctr.images.remote import NodePuller
    from snakemake_executor_plugin_hpcctr.task import EngineName, Image

PARALLEL = 2


@dataclass
class Background:
    """Gives tasks the path of their image at once, and makes it in a thread of its own.

    The threads are daemons: a run that is ended does not wait for a download; what has arrived
    of it is taken up next time.

    Args:
        provider: Finds and plans images.
        node: Makes them in jobs; None for in this process.
    """

    provider: Provider
    node: NodePuller | None = None
    _work: dict[str, Future[None]] = field(default_factory=dict)
    _slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(PARALLEL))
    _used: set[str] = field(default_factory=set)
    _known: dict[tuple[Image, EngineName], Provided] = field(default_factory=dict)

    def ready(self, image: Image, engine: EngineName) -> Image:
        """Return the image under the path that it has or will have, see `work`.

        A file is looked at each time, since a job may have made it; a reference means the same
        for all jobs of a run, and is looked up once.

        Raises:
            ImageError: A missing or damaged file, or a reference that cannot be looked up.
        """
        provided = self._known.get((image, engine)) or self.provider.provide(image, engine)
        if image.format == "registry":
            self._known[image, engine] = provided
        if provided.make is not None:
            self._start(provided.image.location, self._made(provided))
        if provided.key and provided.key not in self._used:
            self._used.add(provided.key)
            self.provider.store.used(provided.key, self.provider.folder)
        return provided.image

    def _made(self, provided: Provided) -> Callable[[], object]:
        if self.node is None or not provided.source:
            return provided.make or (lambda: None)
        return partial(self.node.make, provided.source, Path(provided.image.location))

    def work(self, path: str) -> Future[None] | None:
        """Return the work for the image of a path, done or not; None if there was nothing to do."""
        return self._work.get(path)

    def _start(self, path: str, make: Callable[[], object]) -> None:
        """Begin the work for a path, unless it is under way; one that failed is tried anew."""
        known = self._work.get(path)
        if known is not None and not (known.done() and known.exception()):
            return

        def work() -> None:
            make()

        self._work[path] = threads.start(self._slots, work)

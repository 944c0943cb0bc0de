"""Run an iterator ahead of its consumer in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_END = object()


def prefetched(source: Iterator[T], depth: int) -> Generator[T, None, None]:
    """Yield the items of `source`, up to `depth` of them made ahead by a thread.

    An exception in `source` is raised here, after the items before it. Closing the generator
    (`break`, an exception in the consumer, garbage collection) ends the thread.
    """
    items: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    # A daemon, so that a generator still open at exit does not keep the process alive.
    thread = threading.Thread(
        target=_produce, args=(source, items, stop), name="minigan-prefetch", daemon=True
    )
    thread.start()
    try:
        while True:
            item, error = items.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        # After stop the thread puts at most one more item, and the emptied queue has room for it.
        while True:
            try:
                items.get_nowait()
            except queue.Empty:
                break
        # The garbage collector may close an abandoned generator inside its own thread.
        if thread is not threading.current_thread():
            thread.join()


def _produce(source: Iterator[Any], items: queue.Queue, stop: threading.Event) -> None:
    try:
        for item in source:
            items.put((item, None))
            if stop.is_set():
                return
        items.put((_END, None))
    except BaseException as error:  # whatever it is, the consumer waits for it
        items.put((None, error))

"""Many targets at once, but few a node.

A node's API daemon has three workers, so more than a handful of calls in flight only queue
there; and PVE's own bulk calls hide which guest failed.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

PER_NODE = 4
IN_ALL = 16


def run_bounded(
    nodes: Sequence[str],
    work: Callable[[int], T],
    *,
    per_node: int = PER_NODE,
    in_all: int = IN_ALL,
) -> tuple[T, ...]:
    """`work(index)` for each index of `nodes`, and the results in that order.

    nodes: where each piece of work takes place. When one raises, what is in flight is finished,
    nothing more is begun, and the first exception is raised.
    """
    if len(nodes) == 1:
        return (work(0),)
    board = _Board(nodes, per_node)
    results: dict[int, T] = {}

    def worker() -> None:
        while (index := board.take()) is not None:
            try:
                results[index] = work(index)
            except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
                board.fail(error)
            finally:
                board.give_back(index)

    threads = [threading.Thread(target=worker) for _ in range(min(in_all, len(nodes)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as error:
        board.fail(error)
        for thread in threads:
            thread.join()
        raise
    if board.error is not None:
        raise board.error
    return tuple(results[index] for index in range(len(nodes)))


class _Board:
    """Which piece of work may begin next."""

    def __init__(self, nodes: Sequence[str], per_node: int) -> None:
        self.error: BaseException | None = None
        self._nodes = nodes
        self._per_node = per_node
        self._waiting: dict[str, deque[int]] = {}
        for index, node in enumerate(nodes):
            self._waiting.setdefault(node, deque()).append(index)
        self._flying: Counter[str] = Counter()
        self._changed = threading.Condition()

    def take(self) -> int | None:
        """The next index on the node with the fewest in flight; None when nothing is left."""
        with self._changed:
            while True:
                if self.error is not None or not any(self._waiting.values()):
                    return None
                free = [
                    node
                    for node, queue in self._waiting.items()
                    if queue and self._flying[node] < self._per_node
                ]
                if free:
                    node = min(free, key=lambda name: self._flying[name])
                    self._flying[node] += 1
                    return self._waiting[node].popleft()
                self._changed.wait()

    def give_back(self, index: int) -> None:
        """The work of that index has ended."""
        with self._changed:
            self._flying[self._nodes[index]] -= 1
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Begin nothing more."""
        with self._changed:
            self.error = self.error or error
            self._changed.notify_all()

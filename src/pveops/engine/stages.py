"""Targets in stages: those of one stage together, and none before the stage before has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pveops.engine.pool import IN_ALL, PER_NODE, run_bounded

T = TypeVar("T")


def run_in_stages(
    nodes: Sequence[str],
    stages: Sequence[int],
    work: Callable[[int], T],
    *,
    per_node: int = PER_NODE,
    in_all: int = IN_ALL,
) -> tuple[T, ...]:
    """As `run_bounded`, the lowest stage first. stages: one for each of `nodes`."""
    results: dict[int, T] = {}
    for stage in sorted(set(stages)):
        indices = [index for index, each in enumerate(stages) if each == stage]

        def of_stage(number: int, indices: Sequence[int] = indices) -> T:
            return work(indices[number])

        found = run_bounded(
            [nodes[index] for index in indices], of_stage, per_node=per_node, in_all=in_all
        )
        results |= zip(indices, found, strict=True)
    return tuple(results[index] for index in range(len(nodes)))

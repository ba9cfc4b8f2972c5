"""Bounded work: every index once, few a node, and the first error is raised."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pveops.engine.pool import run_bounded


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["pve1", "pve2", "pve3"]), min_size=1, max_size=40))
def test_every_piece_is_done_once_within_the_limits(nodes: list[str]) -> None:
    flying: Counter[str] = Counter()
    most: Counter[str] = Counter()
    lock = threading.Lock()

    def work(index: int) -> int:
        with lock:
            flying[nodes[index]] += 1
            most[nodes[index]] = max(most[nodes[index]], flying[nodes[index]])
        with lock:
            flying[nodes[index]] -= 1
        return index

    assert run_bounded(nodes, work, per_node=2, in_all=4) == tuple(range(len(nodes)))
    assert all(count <= 2 for count in most.values())


def test_the_first_error_is_raised_and_nothing_more_is_begun() -> None:
    begun: list[int] = []

    def work(index: int) -> None:
        begun.append(index)
        raise ValueError(str(index))

    with pytest.raises(ValueError, match="0"):
        run_bounded(["pve1"] * 50, work, per_node=1, in_all=1)
    assert begun == [0]

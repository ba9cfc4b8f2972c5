"""What there is in the cluster, when /cluster/resources does not know all of it yet."""

from __future__ import annotations

from typing import Any

import pytest

from pveops.domain.inventory import read_inventory
from pveops.errors import PermissionDeniedError, UnreachableError

NEW = {"type": "qemu", "vmid": 101, "node": "pve1", "status": "unknown"}
OLD = {"type": "qemu", "vmid": 100, "node": "pve1", "name": "web01", "status": "running"}


class Answers:
    """A client with an answer, or a failure, for each path."""

    def __init__(self, *rows: dict[str, Any], new: Any = (), node: str = "online") -> None:
        nodes = [{"type": "node", "node": "pve1", "status": node}]
        self._answers = {"/cluster/resources": [*nodes, *rows], "/nodes/pve1/qemu": list(new)}
        self.failure: Exception | None = None
        self.asked: list[str] = []

    def get(self, path: str) -> Any:
        self.asked.append(path)
        if self.failure and path != "/cluster/resources":
            raise self.failure
        return self._answers[path]


def read_guests(answers: Answers) -> list[tuple[int, str, frozenset[str]]]:
    found = read_inventory(answers).guests  # type: ignore[arg-type]
    return [(guest.vmid, guest.name, frozenset(guest.tags)) for guest in found]


def test_names_and_tags_of_new_guests_come_from_their_node():
    answers = Answers(OLD, NEW, new=[{"vmid": 101, "name": "db01", "tags": "prod"}])
    assert read_guests(answers)[1] == (101, "db01", frozenset({"prod"}))
    assert len(answers.asked) == 2


def test_where_every_guest_has_a_name_one_request_is_enough():
    answers = Answers(OLD)
    assert read_guests(answers)[0][1] == "web01"
    assert len(answers.asked) == 1


def test_a_node_that_is_not_online_is_not_asked():
    answers = Answers(NEW, node="offline")
    assert read_guests(answers)[0][0] == 101
    assert len(answers.asked) == 1


@pytest.mark.parametrize("failure", [UnreachableError("no"), PermissionDeniedError("no")])
def test_a_node_that_cannot_be_asked_hides_no_guest(failure):
    answers = Answers(OLD, NEW)
    answers.failure = failure
    assert [vmid for vmid, _, _ in read_guests(answers)] == [100, 101]

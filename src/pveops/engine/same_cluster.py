"""One cluster under several fingerprints, because an endpoint was added or a pin renewed.

A plan holds under the fingerprint that it was made with, and under no other. What outlives plans,
the locks of runs and the journals of evacuations and shutdowns, is about the cluster itself; its
own CA tells which that is. It is noted for each fingerprint that a change was made under.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.certificate import read_authority
from pveops.errors import AccessError, NotFoundError, RejectedError

if TYPE_CHECKING:
    from pveops.engine.session import Session

_NOTED = "authorities"
"""Fingerprint of endpoints and trust -> fingerprint of the CA."""


def list_fingerprints(session: Session) -> frozenset[str]:
    """Every fingerprint under which the session's cluster was worked on, the present one included.

    One request when that one is new; raises UnreachableError when nobody answers it.
    """
    known: dict[str, str] = session.store.recall(_NOTED) or {}
    own = known.get(session.cluster) or _note(session)
    same = {each for each, authority in known.items() if own and authority == own}
    return frozenset({session.cluster, *same})


def is_same_cluster(session: Session, fingerprint: str) -> bool:
    """Whether the cluster that answers now is the one that had that fingerprint. One request."""
    if fingerprint == session.cluster:
        return True
    known: dict[str, str] = session.store.recall(_NOTED) or {}
    return bool(known.get(fingerprint)) and known[fingerprint] == _note(session)


def _note(session: Session) -> str:
    """What the cluster says by now; empty, and nothing is noted, when it tells none."""
    try:
        own = read_authority(session.reader)
    except (AccessError, NotFoundError, RejectedError):
        return ""
    if own:
        session.store.revise(
            _NOTED, lambda kept: {**(kept or {}), session.cluster: own}, session.clock.now()
        )
    return own

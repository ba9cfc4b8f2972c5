"""One request on its way through the simulated cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pveops.sim.model import Cluster, Node


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. `token` is the token's id when an API token does."""

    user: str
    token: str | None = None

    @property
    def auth_id(self) -> str:
        """As it stands in a UPID: `user@realm` or `user@realm!token`."""
        return f"{self.user}!{self.token}" if self.token else self.user

    @property
    def is_root(self) -> bool:
        """root@pam with a ticket. No token is ever root (pve-access-control)."""
        return self.user == "root@pam" and self.token is None


@dataclass(slots=True)
class Call:
    """A request that passed authentication, method look-up, permission and parameter checks.

    cluster: the whole model.
    receiver: the node whose listener took the request.
    node: the node that executes it: the `{node}` of the path when PVE proxies there, else
        the receiver.
    params: path and request parameters together, typed by the schema (int, bool, str, list).
    """

    cluster: Cluster
    receiver: Node
    node: Node
    method: str
    template: str
    params: dict[str, Any]
    identity: Identity
    extra: dict[str, Any] = field(default_factory=dict)
    """What stands beside `data` in the answer: `total`, `changes`."""

    def get(self, name: str, default: Any = None) -> Any:
        """A parameter, or `default` when it was not given."""
        return self.params.get(name, default)

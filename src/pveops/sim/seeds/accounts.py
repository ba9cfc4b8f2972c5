"""What every seed starts with: realms, root@pam, and a token for an agent."""

from __future__ import annotations

import secrets
import uuid

from pveops.sim.access import Entry, Token, User
from pveops.sim.model import Cluster

AGENT = "agent@pve"
TOKEN_NAME = "ops"  # noqa: S105
READER_NAME = "look"
READER = f"{AGENT}!{READER_NAME}"
"""Beside the token that operates, one that only reads: what an agent has when a broker acts."""
_OPERATE = (
    "VM.Audit VM.PowerMgmt VM.Snapshot VM.Backup VM.Migrate Sys.Audit Datastore.Audit "
    "Datastore.AllocateSpace Pool.Audit SDN.Audit VM.Config.Options VM.Config.CPU "
    "VM.Config.Memory VM.Config.Disk VM.Config.Network VM.Config.HWType VM.Config.CDROM "
    "VM.Config.Cloudinit VM.Allocate VM.Clone Datastore.AllocateTemplate SDN.Use "
    "Sys.AccessNetwork Sys.Modify Sys.PowerMgmt Datastore.Allocate Pool.Allocate"
)

_LOOK = "VM.Audit Sys.Audit Datastore.Audit Pool.Audit SDN.Audit"


def add_realms(cluster: Cluster) -> None:
    """The two built-in realms."""
    cluster.access.domains = {
        "pam": {"type": "pam", "comment": "Linux PAM standard authentication"},
        "pve": {"type": "pve", "comment": "Proxmox VE authentication server"},
    }


def add_root(cluster: Cluster) -> str:
    """root@pam with a password made for this run; gives the password."""
    password = secrets.token_urlsafe(12)
    cluster.access.users["root@pam"] = User("root@pam", password=password)
    cluster.auth_key = secrets.token_bytes(32)
    return password


def add_agent(cluster: Cluster) -> tuple[str, str]:
    """A user for an agent, with a privilege-separated token that may look and operate.

    Gives the token's id and its secret.
    """
    access = cluster.access
    has_agent = cluster.version.has_guest_agent_privileges
    new = " VM.Replicate" if cluster.version.at_least("9.0") else ""
    inside = "VM.GuestAgent.Audit VM.GuestAgent.Unrestricted" if has_agent else "VM.Monitor"
    access.roles["AgentOperate"] = frozenset(f"{_OPERATE} {inside}{new}".split())
    secret = str(uuid.uuid4())
    access.users[AGENT] = User(AGENT, details={"comment": "the agent's account"})
    access.users[AGENT].tokens[TOKEN_NAME] = Token(secret, comment="what the agent holds")
    token_id = f"{AGENT}!{TOKEN_NAME}"
    access.acl[Entry("/", "user", AGENT, "AgentOperate")] = True
    access.acl[Entry("/", "token", token_id, "AgentOperate")] = True
    agent = "VM.GuestAgent.Audit" if has_agent else ""
    access.roles["AgentLook"] = frozenset(f"{_LOOK} {agent}".split())
    access.users[AGENT].tokens[READER_NAME] = Token(str(uuid.uuid4()), comment="only reads")
    access.acl[Entry("/", "token", READER, "AgentLook")] = True
    return token_id, secret

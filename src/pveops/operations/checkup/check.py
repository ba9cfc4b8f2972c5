"""One line of a check-up, and every code that a line may have."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["ok", "warn", "bad"]


class Check(NamedTuple):
    """One line. bad: has to be mended before pveops can be relied on. warn: think about it."""

    level: Level
    code: str
    message: str
    fix: str = ""
    """A command, or what a person has to do; empty where there is nothing to do."""


class Code(NamedTuple):
    """What a code is about, for the reference; `levels` it can come with."""

    code: str
    levels: tuple[Level, ...]
    about: str


_OK: tuple[Level, ...] = ("ok",)
_WARN: tuple[Level, ...] = ("warn",)
_BAD: tuple[Level, ...] = ("bad",)
_OK_WARN: tuple[Level, ...] = ("ok", "warn")
_OK_BAD: tuple[Level, ...] = ("ok", "bad")
_ANY: tuple[Level, ...] = ("ok", "warn", "bad")

CODES: tuple[Code, ...] = (
    Code("config.profile", _OK, "which profile is looked at, and where it is written"),
    Code("config.pvesh", _OK, "the profile runs on a node as root and uses no token"),
    Code("config.failed", _BAD, "the configuration cannot be used"),
    Code("tls.trust", _OK, "what proves that a server is the right one; nothing turns it off"),
    Code("files.modes", _OK_BAD, "who may read the secrets and state, and write the rules"),
    Code("files.failed", _BAD, "the files cannot be looked at"),
    Code("secrets.git", _ANY, "whether the token's file may end up in a git repository"),
    Code("token.stored", _OK_BAD, "whether the token can be used"),
    Code("token.expiry", _ANY, "when the token expires"),
    Code("token.account", _ANY, "whether the token's user expires or is disabled"),
    Code("token.privsep", _OK_BAD, "whether the token has privileges of its own"),
    Code("token.root", _BAD, "the token, or the login, is root@pam's"),
    Code("access.none", _BAD, "the token has no privileges, so that every list is empty"),
    Code("access.critical", _BAD, "the token may change accounts, nodes or insides of guests"),
    Code("access.wide", _WARN, "the token may destroy everything, not some pools"),
    Code("access.unused", _WARN, "the policy lets nobody change what the token may change"),
    Code("access.level", _OK, "what the token may change"),
    Code("access.blind", _WARN, "what the token cannot see, and lists leave out"),
    Code("access.failed", _BAD, "the token's privileges cannot be read"),
    Code("consent.level", _OK_WARN, "the level in force, why, and what it does not stop"),
    Code("consent.failed", _BAD, "the level cannot be told, since something above failed"),
    Code("consent.broker", _ANY, "whether the broker answers, and is a boundary"),
    Code("consent.sender", _WARN, "no way is configured that takes a code to a person"),
    Code("policy.file", _OK, "which policy is in force"),
    Code("policy.writable", _WARN, "the caller's account may edit the policy"),
    Code("policy.frozen", _WARN, "all changes are frozen"),
    Code("policy.failed", _BAD, "the policy cannot be used"),
    Code("store.health", _OK_BAD, "SQLite's check of the store, its size and schema"),
    Code("store.size", _WARN, "the store has grown large"),
    Code("store.failed", _BAD, "the store cannot be opened"),
    Code("run.open", _WARN, "a run has not ended"),
    Code("audit.chain", _OK_BAD, "whether the audit log is whole"),
    Code("audit.torn", _WARN, "a record was cut short, by a crash or a full disk"),
    Code("audit.writable", _BAD, "nothing can be recorded, so nothing can be changed"),
    Code("audit.failed", _BAD, "the audit log cannot be read"),
    Code("api.reach", _OK, "the cluster answers and takes the token"),
    Code("api.endpoint", _ANY, "whether each endpoint of the profile answers"),
    Code("api.endpoints", _WARN, "nodes of the cluster that are no endpoints"),
    Code("api.failed", _BAD, "the cluster cannot be asked"),
    Code("clock.skew", _ANY, "how far the clocks of each node and of this machine differ"),
    Code("cluster.versions", _OK_WARN, "whether all nodes run the same version"),
    Code("cluster.node", _WARN, "a node that does not answer, or tells nothing about itself"),
)
"""In the order of the way from this machine to the cluster."""

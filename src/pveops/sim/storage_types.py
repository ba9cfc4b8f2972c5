"""Options of storage definitions by type (the `options` of pve-storage's plugins)."""

from __future__ import annotations

from typing import Any

from pveops.sim.refusal import die
from pveops.sim.storage import CONTENT_TYPES

_COMMON = "nodes disable content bwlimit"
_FILES = (
    "content-dirs prune-backups max-protected-backups format mkdir create-base-path "
    "create-subdirs preallocation"
)

REQUIRED: dict[str, str] = {
    "dir": "path",
    "btrfs": "path",
    "nfs": "server export",
    "cifs": "server share",
    "cephfs": "",
    "lvm": "vgname",
    "lvmthin": "thinpool vgname",
    "zfspool": "pool",
    "zfs": "portal target pool iscsiprovider",
    "rbd": "",
    "pbs": "server datastore",
    "iscsi": "portal target",
    "iscsidirect": "portal target",
    "esxi": "server username",
}
"""Options that a definition must have."""

_OPTIONAL: dict[str, str] = {
    "dir": f"{_COMMON} {_FILES} shared is_mountpoint snapshot-as-volume-chain",
    "btrfs": f"{_COMMON} {_FILES} shared is_mountpoint nocow",
    "nfs": f"{_COMMON} {_FILES} path options snapshot-as-volume-chain",
    "cifs": f"{_COMMON} {_FILES} path subdir username password domain smbversion options",
    "cephfs": f"{_COMMON} {_FILES} path monhost subdir options username fuse keyring fs-name",
    "lvm": f"{_COMMON} shared saferemove saferemove-stepsize saferemove_throughput base "
    "tagged_only snapshot-as-volume-chain",
    "lvmthin": _COMMON,
    "zfspool": f"{_COMMON} blocksize sparse mountpoint",
    "zfs": f"{_COMMON} blocksize sparse lio_tpg nowritecache comstar_hg comstar_tg",
    "rbd": f"{_COMMON} monhost pool data-pool namespace username krbd keyring",
    "pbs": f"{_COMMON} namespace port username password encryption-key master-pubkey "
    "prune-backups max-protected-backups fingerprint",
    "iscsi": _COMMON,
    "iscsidirect": _COMMON,
    "esxi": f"{_COMMON} shared password skip-cert-verification port",
}
SENSITIVE = frozenset({"password", "encryption-key", "master-pubkey", "keyring"})
"""Kept in files of their own, never in storage.cfg."""
DEFAULT_CONTENT = {
    "dir": "images,rootdir",
    "btrfs": "images,rootdir",
    "lvmthin": "images,rootdir",
    "zfspool": "images,rootdir",
    "cephfs": "backup",
    "pbs": "backup",
    "esxi": "import",
}
"""What a definition without `content` holds; other types hold images."""


def check_create(type_: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options as they are stored; dies where check_config does."""
    _check_known(type_, options)
    for name in REQUIRED[type_].split():
        if options.get(name) is None:
            raise die(f"missing value for required option '{name}'")
    return _stored(type_, options)


def check_update(type_: str, options: dict[str, Any], delete: list[str]) -> dict[str, Any]:
    """The changed options; dies for fixed and unknown ones."""
    required = REQUIRED[type_].split()
    for name in options:
        if name in required:
            raise die(f"can't change value of fixed parameter '{name}'")
    _check_known(type_, options)
    for name in delete:
        if name in required:
            raise die(f"unable to delete required option '{name}'")
        if name not in _OPTIONAL[type_].split():
            raise die(f"no such option '{name}'")
        if name in options:
            raise die(f"cannot set and delete property '{name}' at the same time!")
    return _stored(type_, options)


def _check_known(type_: str, options: dict[str, Any]) -> None:
    known = {*REQUIRED[type_].split(), *_OPTIONAL[type_].split()}
    for name in options:
        if name not in known:
            raise die(f"unexpected property '{name}'")


def _stored(type_: str, options: dict[str, Any]) -> dict[str, Any]:
    stored = {name: value for name, value in options.items() if name not in SENSITIVE}
    if stored.get("content"):
        possible = CONTENT_TYPES.get(type_, "images rootdir").split()
        given = str(stored["content"]).replace(";", ",").replace(" ", ",").split(",")
        kept = [part for part in given if part in possible]
        if "none" in kept and len(kept) > 1:
            raise die("unable to combine 'none' with other content types")
        if not kept and "none" not in possible:
            raise die("storage does not support content type 'none'")
        stored["content"] = ",".join(kept)
    return stored


def file_text(definitions: dict[str, tuple[str, dict[str, Any]]]) -> str:
    """storage.cfg: a section for each definition, its options one a line."""
    sections = []
    for name, (type_, options) in definitions.items():
        rows = "".join(f"\t{key} {value}\n" for key, value in sorted(options.items()))
        sections.append(f"{type_}: {name}\n{rows}")
    return "\n".join(sections)

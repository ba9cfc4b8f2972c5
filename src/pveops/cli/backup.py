"""`pve backup`: look at backups; what changes them is in `verbs`, the audit in `backup_audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Facts, Lines, Listing, Written
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Command, Group, list_options, wait_option
from pveops.units import format_utc

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.backup import Backup
    from pveops.domain.backup_facts import VolumeFacts
    from pveops.domain.guest import Guest
    from pveops.domain.inventory import Inventory

_VERB = "pveops.cli.verbs:backup_verb"
_MAX_NOTES = 2_000
_MAX_CONFIG = 6_000
_COLUMNS = (
    Column("vmid"),
    Column("name"),
    Column("age_s", "age", kind="duration"),
    Column("size_bytes", "size", kind="bytes"),
    Column("is_protected", "protected", kind="flag", is_sparse=True),
    Column("verification", "verified", is_sparse=True),
    Column("is_stranger", "another's", kind="flag", is_sparse=True),
    Column("volid"),
)
_FIELDS = (
    *("vmid", "name", "kind", "ctime", "age_s", "size_bytes", "storage", "volid"),
    *("is_protected", "verification", "is_stranger"),
)

group = Group(
    "backup",
    help="""Backups of guests: look, make, protect, prune; which guests have none, and why.

    A backup is named by its volume id, which `pve backup list` shows. Making one never prunes
    others. What takes backups or their protection away needs a person's consent.""",
    lazy={
        "list": ("pveops.cli.backup:list_backups", "the backups of guests, wherever some are"),
        "show": ("pveops.cli.backup:show_backup", "one backup, and the configuration in it"),
        "audit": ("pveops.cli.backup_audit:audit", "which guests have no recent backup"),
        "why": ("pveops.cli.backup_audit:why", "which guests the last backups missed, and why"),
        "run": (_VERB, "back guests up now; nothing is pruned"),
        "restore": (_VERB, "restore a backup to a new guest, or over the one it is of"),
        "drill": (_VERB, "try the newest backup of guests: restore, boot apart, look, remove"),
        "protect": ("pveops.cli.backup:protect", "keep a backup from pruning and deletion"),
        "unprotect": (_VERB, "let a backup be pruned and deleted again"),
        "delete": (_VERB, "delete a backup for good"),
        "prune": (_VERB, "delete old backups of guests; the plan names each"),
    },
)


@click.command("list", cls=Command, operation="backup.list")
@click.argument("guests", nargs=-1, metavar="[GUEST]...")
@click.option("--storage", help="On this storage only.")
@list_options
@click.pass_obj
def list_backups(call: Call, guests: tuple[str, ...], storage: str | None) -> Answer:
    """List backups, the newest first, and the places of which nobody knows.

    With guests: those of other guests that had the same vmid before are marked.
    """
    from pveops.domain.backup_survey import read_survey
    from pveops.domain.inventory import read_inventory
    from pveops.domain.selection import resolve_guest

    reader = call.wiring.reader
    inventory = read_inventory(reader)
    wanted = {guest.vmid: guest for guest in (resolve_guest(inventory, name) for name in guests)}
    if storage is not None:
        inventory.list_storages(storage)
    survey = read_survey(reader, inventory)
    births = {vmid: _birth(reader, guest) for vmid, guest in wanted.items()}
    rows = [
        backup
        for vmid, backups in survey.by_vmid.items()
        for backup in backups
        if (not wanted or vmid in wanted) and storage in {None, backup.storage}
    ]
    rows.sort(reverse=True)
    names = {guest.vmid: guest.name for guest in inventory.guests}
    now = int(reader.server_time())

    def item(backup: Backup) -> dict[str, Any]:
        return _item(backup, names, now) | {
            "is_stranger": _is_stranger(backup, wanted.get(backup.vmid), births)
        }

    gaps = dict.fromkeys(gap for vmid in (wanted or names) for gap in survey.gaps_for(vmid))
    verdict = _count(rows, wanted)
    if gaps:
        verdict += f"; unknown: {', '.join(gaps)}"
    listing = Listing(rows, item, _FIELDS, _COLUMNS)
    return Answer(verdict, beside={"unknown": list(gaps)}, blocks=(listing,))


def _count(rows: list[Backup], wanted: dict[int, Guest]) -> str:
    told = count_of(len(rows), "backup")
    if len(wanted) == 1:
        return f"{told} of {next(iter(wanted.values())).ref.label}"
    return f"{told} of {count_of(len({row.vmid for row in rows}), 'guest')}"


def _birth(client: Client, guest: Guest) -> int | None:
    from pveops.operations.backup_audit import read_birth

    return read_birth(client, guest).created_at


def _item(backup: Backup, names: dict[int, str], now: int) -> dict[str, Any]:
    return backup._asdict() | {
        "name": names.get(backup.vmid),
        "age_s": max(0, now - backup.ctime),
        "size_bytes": backup.size_bytes or None,
    }


def _is_stranger(
    backup: Backup, guest: Guest | None, births: dict[int, int | None]
) -> bool | None:
    """None: not asked, or nobody knows."""
    if guest is None:
        return None
    if backup.kind not in {"", guest.kind}:
        return True
    born = births.get(guest.vmid)
    return None if born is None else backup.ctime < born


@click.command("show", cls=Command, operation="backup.show")
@click.argument("volid")
@click.option("--node", help="The node, where several have a storage of that name.")
@click.pass_obj
def show_backup(call: Call, volid: str, node: str | None) -> Answer:
    """Show one backup: whose it is, age, size, protection, notes, and the configuration in it."""
    from pveops.domain.backup_facts import read_volume_facts
    from pveops.domain.facts import Scene
    from pveops.domain.inventory import read_inventory

    reader = call.wiring.reader
    inventory = read_inventory(reader)
    scene = Scene(inventory, None, (volid,), {"node": node}, reader.server_time())
    (facts,) = read_volume_facts(reader, scene)
    notes, config = _read_inside(reader, facts)
    framed, untrusted = _free_text(notes, config)
    backup = facts.backup
    data = _item(backup, _names(inventory), facts.read_at) | {"node": facts.node}
    data["is_stranger"] = _whose(reader, facts)
    return Answer(
        _verdict(facts, is_stranger=data["is_stranger"] is True),
        data=data | ({"untrusted": untrusted} if untrusted else {}),
        blocks=(_shown(facts), *framed),
        next=() if config is not None else ("its configuration cannot be read: VM.Backup on it?",),
        has_free_text=bool(untrusted),
    )


def _names(inventory: Inventory) -> dict[int, str]:
    return {guest.vmid: guest.name for guest in inventory.guests}


def _whose(client: Client, facts: VolumeFacts) -> bool | None:
    guest = facts.guest
    if guest is None:
        return None
    return _is_stranger(facts.backup, guest, {guest.vmid: _birth(client, guest)})


def _verdict(facts: VolumeFacts, *, is_stranger: bool) -> str:
    from pveops.units import format_bytes, format_duration

    backup = facts.backup
    age = format_duration(max(0, facts.read_at - backup.ctime))
    whose = facts.guest.ref.label if facts.guest else f"{backup.vmid}, which is no guest any more"
    if is_stranger:
        whose = f"another guest that had the vmid of {whose}"
    return f"backup of {whose}, {age} old, {format_bytes(backup.size_bytes)}"


def _shown(facts: VolumeFacts) -> Facts:
    backup = facts.backup
    newer = sum(each > backup for each in facts.siblings)
    return Facts(
        (
            ("volid", backup.volid),
            ("made", format_utc(backup.ctime)),
            ("protected", "yes" if backup.is_protected else "no"),
            ("verified", backup.verification),
            ("newer ones there", str(newer)),
            ("seen from", facts.node),
        )
    )


def _read_inside(client: Client, facts: VolumeFacts) -> tuple[str, str | None]:
    """Notes and configuration; None: that cannot be read."""
    from pveops.api.port import api_path
    from pveops.domain.rows import object_of, text_of
    from pveops.errors import PveopsError

    volid, storage = facts.backup.volid, facts.backup.storage
    path = api_path("nodes", facts.node, "storage", storage, "content", volid)
    notes = text_of(object_of(client.get(path)), "notes")
    try:
        path = api_path("nodes", facts.node, "vzdump", "extractconfig")
        return notes, str(client.get(path, {"volume": volid}))
    except PveopsError:
        return notes, None


def _free_text(notes: str, config: str | None) -> tuple[tuple[Lines, ...], dict[str, str]]:
    """What others wrote, under a header of its own."""
    from pveops.sanitize import frame_untrusted

    texts = {"notes": notes, "config": config or ""}
    limits = {"notes": _MAX_NOTES, "config": _MAX_CONFIG}
    kept = {name: text for name, text in texts.items() if text}
    framed = tuple(
        Lines(
            tuple(frame_untrusted(text, f"{name} in the backup", limit=limits[name]).split("\n"))
        )
        for name, text in kept.items()
    )
    return framed, kept


@click.command("protect", cls=Command, operation="backup.protect")
@click.argument("volid")
@click.option("--off", is_flag=True, help="Take the protection away; as `unprotect`.")
@click.option("--node", help="The node, where several have a storage of that name.")
@wait_option
@click.pass_obj
def protect(call: Call, volid: str, off: bool, node: str | None) -> Answer | Written:
    """Keep a backup from pruning and deletion.

    Done at once. With --off a person has to agree.
    """
    from pveops.cli.changing import ask_for

    call.operation = "backup.unprotect" if off else "backup.protect"
    return ask_for(call, call.operation, (volid,), None, {"node": node} if node else {})

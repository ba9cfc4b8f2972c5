"""The configuration of guests: set, revert, tag, note. Pure decisions about one guest's facts.

All are one PUT of `config` with the digest of what was read, so that nobody else's change is
overwritten (AbstractConfig.pm; API2/Qemu.pm update_vm_api, API2/LXC/Config.pm update_vm).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pveops.domain.cloudinit import encode_ssh_keys, split_ssh_keys
from pveops.domain.config_facts import ConfigFacts
from pveops.domain.config_text import FREE_TEXT, normal_value, show_value
from pveops.domain.facts import GuestFacts
from pveops.domain.guest import Kind, PendingChange, split_tags
from pveops.domain.trash import TRASH_TAG, forges_mark
from pveops.errors import UsageError
from pveops.operations.config_checks import check_values
from pveops.operations.config_more import is_known, is_live, parse_more
from pveops.operations.config_options import OPTIONS, find_option, stored_text
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guards import guest_guards
from pveops.operations.guest_checks import check_stored_change, subject_of, worst_first
from pveops.operations.plan import Call, Item, Scalar, WaitState
from pveops.operations.subject import headline_of, target_of
from pveops.sanitize import shell_word

_GRACE_S = 15.0
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_MAX_NOTES = 8192
_SPACE = 0x20
_Wanted = dict[str, str | None]


def decide_set(_operation: str, facts: ConfigFacts, params: dict[str, Scalar]) -> Decision:
    """Options of one guest; those that are so already are left out."""
    wanted = _wanted_values(facts.base, params)
    changed = _changed(facts.base, wanted)
    found = worst_first(check_values(facts, changed))
    raises: tuple[str, ...] = ()
    if changed.get("protection", "1") in {"0", None}:
        raises = ("it takes away the protection against removal",)
    return _decide(facts, changed, found, raises)


def _wanted_values(facts: GuestFacts, params: Mapping[str, Scalar]) -> _Wanted:
    """Key -> the text to store, or None for a key to remove. Raises UsageError."""
    kind = facts.guest.kind
    wanted: _Wanted = {
        option.key(kind): stored_text(option, params[option.word])
        for option in OPTIONS
        if params.get(option.word) is not None
    }
    if params.get("description"):
        _check_notes(str(params["description"]))
    if params.get("option"):
        wanted |= parse_more(kind, facts.config, str(params["option"]))
    if params.get("ssh_keys"):
        wanted["sshkeys"] = _ssh_keys(kind, str(params["ssh_keys"]))
    for word in _words(params.get("unset")):
        key = word if is_known(kind, word) else find_option(kind, word).key(kind)
        if key in wanted:
            raise UsageError(f"{word} cannot be set and unset at the same time")
        wanted[key] = None
    if not wanted:
        words = ", ".join(f"--{option.word}" for option in OPTIONS)
        raise UsageError("what is to be set?", hint=f"one or more of {words}, --option, --unset")
    return wanted


def _ssh_keys(kind: Kind, text: str) -> str:
    """Raises UsageError for containers, which take keys only when they are made."""
    if kind == "lxc":
        raise UsageError("containers take SSH keys only when they are made")
    try:
        keys = split_ssh_keys(text)
    except ValueError as error:
        raise UsageError(f"the SSH keys: {error}") from error
    if not keys:
        raise UsageError("there is no SSH key in it")
    return encode_ssh_keys(keys)


def decide_tag(_operation: str, facts: ConfigFacts, params: dict[str, Scalar]) -> Decision:
    """The whole list of tags is written, as PVE wants it; the digest keeps others' tags safe."""
    adds, removes = _tags(params.get("add")), _tags(params.get("remove"))
    exact = _tags(params.get("set"))
    if not (adds or removes or exact) or (exact and (adds or removes)):
        raise UsageError("which tags?", hint="--add a --remove b, or --set a --set b for exactly")
    if TRASH_TAG in adds | removes | exact:
        raise UsageError(
            f"{TRASH_TAG} is the mark of deleted guests",
            hint="pve guest delete and pve guest undelete set it and take it away",
        )
    now = set(split_tags(normal_value("tags", facts.base.config.get("tags"))))
    tags = exact or ((now | adds) - removes)
    wanted: _Wanted = {"tags": ";".join(sorted(tags)) if tags else None}
    changed = _changed(facts.base, wanted)
    return _decide(facts, changed, worst_first(check_stored_change(facts.base)))


def _tags(value: Scalar) -> set[str]:
    """Raises UsageError for what PVE takes for no tag (pve-tag in JSONSchema.pm)."""
    tags = {word.lower() for word in _words(value)}
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise UsageError(f"{tag!r} is no tag", hint="letters, digits and _ . + - only")
    return tags


def decide_note(_operation: str, facts: ConfigFacts, params: dict[str, Scalar]) -> Decision:
    """The notes. Writing over what somebody wrote asks for more consent than adding to it."""
    old = normal_value("description", facts.base.config.get("description"))
    text, extra = params.get("text"), params.get("append")
    if (text is None) == (extra is None):
        raise UsageError("which text?", hint="--text TEXT to write, or --append TEXT; - for stdin")
    new = str(text) if text is not None else f"{old}\n\n{extra}" if old else str(extra)
    new = normal_value("description", new)
    _check_notes(str(text if text is not None else extra))
    if len(new) > _MAX_NOTES:
        raise UsageError(f"the notes would have {len(new)} characters; PVE takes {_MAX_NOTES}")
    changed = _changed(facts.base, {"description": new or None})
    raises = ("notes that somebody wrote would be gone",) if old and extra is None else ()
    return _decide(facts, changed, worst_first(check_stored_change(facts.base)), raises)


def _check_notes(text: str) -> None:
    """Raises UsageError for what is not stored as written, and for what is not ours to write.

    What tells since when a guest is deleted is written by `guest delete` alone.
    """
    if any(ord(each) < _SPACE and each not in "\n\t" for each in text):
        raise UsageError("the text has control characters in it", hint="write it without them")
    if forges_mark(text):
        raise UsageError(
            f"lines that begin with {TRASH_TAG}: are the mark of deleted guests",
            hint="write something else before it",
        )


def decide_revert(_operation: str, facts: ConfigFacts, params: dict[str, Scalar]) -> Decision:
    """Changes that wait for a restart are forgotten; what runs stays as it is."""
    base, target = facts.base, target_of(facts.base)
    waiting = {change.key: change for change in base.pending or ()}
    asked = _words(params.get("key"))
    if not asked:
        raise UsageError("which key?", hint=f"pending: {', '.join(waiting) or 'nothing'}")
    keys = [key for key in asked if key in waiting]
    if not keys:
        state = f"without pending {', '.join(asked)} (pending: {', '.join(waiting) or 'nothing'})"
        return Decision(target, (), is_already_so=True, state=state)
    found = worst_first(check_stored_change(base))
    if blocks_among(found):
        return Decision(target, found, state=base.state.power)
    words = [f"forget {key} {_show_pending(waiting[key])}" for key in keys]
    steps = (
        _put(base, {"revert": ",".join(keys)}, "; ".join(words)),
        WaitState("config.reverted", _GRACE_S, dict.fromkeys(keys)),
    )
    item = Item(
        target=target,
        headline=f"{headline_of(base)}, {'; '.join(words)}",
        guards=guest_guards(base.state, base.config),
        before={"pending": ",".join(waiting)},
        steps=steps,
        undo=_undo(base, {key: waiting[key].pending or None for key in keys}),
    )
    return Decision(target, found, item, state=base.state.power)


# -- parts ------------------------------------------------------------------------


def _words(value: Scalar) -> tuple[str, ...]:
    """A parameter of several words."""
    return tuple(part for part in re.split(r"[,;\s]+", str(value or "")) if part)


def _show_pending(change: PendingChange) -> str:
    return show_value(change.key, None if change.is_removal else change.pending)


def _value_of(facts: GuestFacts, key: str) -> str | None:
    return facts.config.get(key) if key in facts.config.values else None


def _changed(facts: GuestFacts, wanted: _Wanted) -> _Wanted:
    """What of it is not so yet; an unset key counts as PVE's default."""
    kind = facts.guest.kind
    defaults = {(o.qemu if kind == "qemu" else o.lxc): o.default for o in OPTIONS}
    changed: _Wanted = {}
    for key, text in wanted.items():
        now = _value_of(facts, key)
        if now is None and (text is None or text == defaults.get(key)):
            continue
        if now is None or text is None or normal_value(key, now) != normal_value(key, text):
            changed[key] = text
    return changed


def _decide(
    facts: ConfigFacts, changed: _Wanted, found: tuple[Finding, ...], raises: tuple[str, ...] = ()
) -> Decision:
    base, target = facts.base, target_of(facts.base)
    if not changed:
        return Decision(target, (), is_already_so=True, state="configured so")
    if blocks_among(found):
        return Decision(target, found, state=base.state.power)
    waits = _predict_waiting(base, changed)
    if waits:
        found = (*found, _waiting(base, waits))
    old = {key: _value_of(base, key) for key in changed}
    words = ", ".join(
        f"{key} {show_value(key, old[key])} -> {show_value(key, changed[key])}" for key in changed
    )
    removed = [key for key, text in changed.items() if text is None]
    sent: dict[str, Scalar] = {key: text for key, text in changed.items() if text is not None}
    if removed:
        sent["delete"] = ",".join(removed)
    item = Item(
        target=target,
        headline=f"{headline_of(base)}, {words}",
        guards=guest_guards(base.state, base.config),
        before={
            key: text if text is None or key not in FREE_TEXT else show_value(key, text)
            for key, text in old.items()
        },
        steps=(
            _put(base, sent, f"set {words}"),
            WaitState("config.values", _GRACE_S, dict(changed)),
        ),
        losses=tuple(
            f"the notes so far ({show_value(key, old[key])})"
            for key in changed
            if key in FREE_TEXT and old[key] and not _keeps(old[key], changed[key])
        ),
        undo=_undo(base, old),
        raises=raises,
    )
    return Decision(target, found, item, state=base.state.power)


def _keeps(old: str | None, new: str | None) -> bool:
    return (new or "").startswith((old or "").rstrip("\n"))


def _put(facts: GuestFacts, sent: Mapping[str, Scalar], does: str) -> Call:
    return Call(
        "PUT",
        facts.guest.ref.path("config"),
        {**sent, "digest": facts.config.digest},
        effect="B",
        does=does,
    )


def _predict_waiting(facts: GuestFacts, changed: _Wanted) -> list[str]:
    """Keys that a running guest takes only when it starts again (vmconfig_hotplug_pending)."""
    if not facts.state.is_running:
        return []
    kind = facts.guest.kind
    live = {o.qemu if kind == "qemu" else o.lxc for o in OPTIONS if o.is_live(kind)}
    return [key for key in changed if key not in live and key != "tags" and not is_live(kind, key)]


def _waiting(facts: GuestFacts, keys: list[str]) -> Finding:
    return Finding(
        "config.waits",
        "warn",
        subject_of(facts),
        f"it runs: {', '.join(keys)} probably takes effect at its next full stop and start only",
        remedy=f"pve guest reboot {facts.guest.vmid}   # a reboot from inside does not do it",
    )


def _undo(facts: GuestFacts, old: Mapping[str, str | None]) -> str:
    """The command that brings the old values back; none for prose, which plans do not repeat."""
    kind = facts.guest.kind
    words = {(o.qemu if kind == "qemu" else o.lxc): o for o in OPTIONS}
    parts: list[str] = []
    removed: list[str] = []
    for key, text in old.items():
        if key == "tags":
            shown = " ".join(f"--set {shell_word(tag)}" for tag in split_tags(text or ""))
            return f"pve guest tag {facts.guest.vmid} {shown}" if shown else ""
        if is_known(kind, key):
            parts += [f"--option {_quoted(f'{key}={text}')}"] if text is not None else []
            removed += [] if text is not None else [key]
            continue
        if key not in words or (key in FREE_TEXT and text):
            return ""
        option = words[key]
        if text is None:
            removed.append(option.word)
        else:
            shown = ("on" if text == "1" else "off") if option.is_switch else _quoted(text)
            parts.append(f"--{option.word} {shown}")
    parts += [f"--unset {word}" for word in removed]
    return f"pve guest set {facts.guest.vmid} {' '.join(parts)}"


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)

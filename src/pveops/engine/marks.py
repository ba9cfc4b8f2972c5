"""What of the policy a change would turn: whoever sets a mark decides for whom a rule holds.

The policy names guests by tag, pool, name and vmid: in `protected`, in grants, in
`guest_commands`. An item that gives a guest such a mark, or takes it away, would let its caller
choose what the rule is about. It is seen by what is sent, whatever the operation is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.guest import split_tags
from pveops.operations.plan import Call, Item, Target

if TYPE_CHECKING:
    from pveops.config.policy import Grant, GuestCommands, Policy, Protected

_NAME_KEYS = ("name", "hostname")


class _Marks(NamedTuple):
    """By what a guest is told from others."""

    tags: frozenset[str]
    pool: str
    name: str
    vmid: str = ""


_NOTHING = _Marks(frozenset(), "", "")


def marks_changed(policy: Policy, item: Item, grant: Grant | None = None) -> Iterator[str]:
    """Why the item takes more consent, a reason for each rule whose guests it would change.

    grant: the one that the item itself falls under; new guests that fit it are what it is for.
    """
    pairs = tuple(_before_and_after(item))
    own = grant if item.target.is_new else None
    for place, rule in _rules(policy):
        for before, after in pairs:
            changed = _named(rule, before) ^ _named(rule, after)
            if item.target.is_new and policy.allows_creation_in(after.pool):
                changed = {each for each in changed if not each.startswith("the pool ")}
            if changed and rule is not (own and own.guests):
                yield f"`{place}` goes by {min(changed)}, which it changes"
                break


def same_to_the_policy(policy: Policy, planned: Target, present: Target) -> bool:
    """Whether a guest bears the marks still that the policy went by when it was planned."""
    before, after = _marks_of(planned), _marks_of(present)
    return all(_named(rule, before) == _named(rule, after) for _, rule in _rules(policy))


def goes_by_pools(policy: Policy) -> bool:
    """Whether any rule names a pool: of all marks the one that no configuration holds."""
    return any(getattr(rule, "pools", ()) for _, rule in _rules(policy))


def _rules(policy: Policy) -> Iterator[tuple[str, Protected | GuestCommands]]:
    yield "protected", policy.protected
    yield from (("grants", grant.guests) for grant in policy.grants)
    yield from (("guest_commands", rule) for rule in policy.guest_commands)


def _named(rule: Protected | GuestCommands, marks: _Marks) -> set[str]:
    """The marks that the rule names, in words."""
    named = {f"the tag {tag!r}" for tag in marks.tags & {tag.lower() for tag in rule.tags}} | {
        f"the pool {pool!r}"
        for pool in getattr(rule, "pools", ())
        if marks.pool == pool or marks.pool.startswith(f"{pool}/")
    }
    named |= {
        f"the name pattern {pattern!r}"
        for pattern in rule.names
        # What fits every name is no mark that anybody could set.
        if pattern.strip("*") and fnmatchcase(marks.name.lower(), pattern.lower())
    }
    return named | {f"the vmid {vmid}" for vmid in rule.vmids if marks.vmid == str(vmid)}


def _marks_of(target: Target) -> _Marks:
    tags = frozenset(tag.lower() for tag in target.tags)
    return _Marks(tags, target.pool, target.name, target.id)


def _before_and_after(item: Item) -> Iterator[tuple[_Marks, _Marks]]:
    """Each guest that gets other marks."""
    calls = [step for step in item.steps if isinstance(step, Call)]
    target = item.target
    if target.kind in {"qemu", "lxc"}:
        now = _marks_of(target)
        if "tags" in item.before:
            # The configuration itself; what the cluster lists may be some seconds older.
            now = now._replace(tags=_tags_of(item.before["tags"]))
        after = now
        for call in calls:
            after = _after_call(after, call, is_new=target.is_new)
        yield (_NOTHING if target.is_new else now), after
    for call in calls:
        if call.path.split("/")[1] == "pools" and call.method == "PUT":
            yield from _moved(item, call)


def _after_call(marks: _Marks, call: Call, *, is_new: bool) -> _Marks:
    makes_it = is_new and call.new_id
    if not (makes_it or (call.path.endswith("/config") and call.method in {"PUT", "POST"})):
        return marks
    gone = str(call.params.get("delete") or "").split(",")
    if "tags" in call.params or "tags" in gone:
        marks = marks._replace(tags=_tags_of(call.params.get("tags")))
    for key in _NAME_KEYS:
        if key in call.params or key in gone:
            marks = marks._replace(name=str(call.params.get(key) or ""))
    return marks


def _tags_of(value: object) -> frozenset[str]:
    return frozenset(tag.lower() for tag in split_tags(str(value or "")))


def _moved(item: Item, call: Call) -> Iterator[tuple[_Marks, _Marks]]:
    """The guests that a pool gains or loses."""
    pool = str(call.params.get("poolid") or "")
    left = {member.id: member.pool for member in item.members}
    for vmid in filter(None, str(call.params.get("vms") or "").split(",")):
        if call.params.get("delete"):
            yield _NOTHING._replace(pool=pool), _NOTHING
        else:
            yield _NOTHING._replace(pool=left.get(vmid, "")), _NOTHING._replace(pool=pool)

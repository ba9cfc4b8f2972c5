"""PVE's property strings, `virtio=BC:24:11:00:00:01,bridge=vmbr0`, and the forms they take.

Most forms are in the schema. Some are only named there; those are here, as of the sources that
register them (pve-common, pve-guest-common, pve-storage, qemu-server).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Form = dict[str, dict[str, Any]]
"""The members of a property string, by key."""
Members = dict[str, str]
WholeCheck = Callable[[Members], str | None]
"""What is wrong with members that are right each for itself."""


class PropertyStringError(ValueError):
    """The text cannot be taken apart; the message is PVE's."""


def parse_property_string(form: Form, text: str) -> Members:
    """The members of a property string, aliases resolved (JSONSchema.pm parse_property_string).

    Raises PropertyStringError.
    """
    members: Members = {}
    default = next((key for key, schema in form.items() if schema.get("default_key")), "")
    is_default_given = False
    for part in text.split(","):
        if not part or part.isspace():
            continue
        key, separator, value = part.partition("=")
        if separator and key and value:
            _add_member(form, members, key, value)
        elif separator:
            raise PropertyStringError("missing key in comma-separated list property")
        elif not default:
            text = "value without key, but schema does not define a default key"
            raise PropertyStringError(text)
        elif is_default_given or members.get(default):
            raise _duplicate(default)
        else:
            is_default_given = True
            members[default] = part
    return members


def _add_member(form: Form, members: Members, key: str, value: str) -> None:
    if key in members:
        raise _duplicate(key)
    schema = form.get(key)
    if schema is None:
        raise PropertyStringError(f"invalid key in comma-separated list property: {key}")
    if "alias" in schema:
        model = schema.get("keyAlias")
        if model in members:
            raise PropertyStringError(f"key alias '{model}' is already defined")
        if model:
            members[model] = key
        key = schema["alias"]
        if key in members:
            raise PropertyStringError(f"key '{key}' is already defined (via alias)")
        if key not in form:
            raise PropertyStringError(f"invalid key in comma-separated list property: {key}")
    members[key] = value


def _duplicate(key: str) -> PropertyStringError:
    return PropertyStringError(f"duplicate key in comma-separated list property: {key}")


def list_missing(form: Form, members: Members) -> Iterator[str]:
    """The keys that should be there and are not."""
    for key, schema in form.items():
        if key not in members and not schema.get("optional") and "alias" not in schema:
            yield key


def find_form(name: object) -> tuple[Form | None, WholeCheck | None]:
    """The form that a parameter's `format` stands for, if it is a property string's."""
    if isinstance(name, dict):
        return name, None
    return _NAMED.get(name, (None, None)) if isinstance(name, str) else (None, None)


def _optional(kind: str, **facts: Any) -> dict[str, Any]:
    return {"type": kind, "optional": 1, **facts}


def _check_prune(members: Members) -> str | None:
    is_all = members.get("keep-all", "").lower() in {"1", "on", "yes", "true"}
    others = any(float(value) > 0 for key, value in members.items() if key != "keep-all")
    return "keep-all cannot be set together with other options." if is_all and others else None


def _check_fleecing(members: Members) -> str | None:
    is_enabled = members.get("enabled", "").lower() in {"1", "on", "yes", "true"}
    if is_enabled and not members.get("storage"):
        return "'storage' parameter is required when 'enabled' is set"
    return None


def _check_ipconfig(members: Members) -> str | None:
    for key, needed in (("gw", "ip"), ("gw6", "ip6")):
        if key in members and needed not in members:
            return f"format error\n{key}: missing property - '{needed}' required by this property"
    return None


_KEEP = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
_BASE64 = r"[A-Za-z0-9+\/]+={0,2}"
_SMBIOS = ("version", "serial", "manufacturer", "product", "sku", "family")

_NAMED: dict[str, tuple[Form, WholeCheck | None]] = {
    "prune-backups": (
        {
            "keep-all": _optional("boolean"),
            **{f"keep-{span}": _optional("integer", minimum=0) for span in _KEEP},
        },
        _check_prune,
    ),
    "backup-fleecing": (
        {
            "enabled": _optional("boolean", default_key=1),
            "storage": _optional("string", format="pve-storage-id"),
        },
        _check_fleecing,
    ),
    "backup-performance": (
        {
            "max-workers": _optional("integer", minimum=1, maximum=256),
            "pbs-entries-max": _optional("integer", minimum=1),
        },
        None,
    ),
    # PVE/QemuServer/Cloudinit.pm, $ipconfig_fmt
    "pve-qm-ipconfig": (
        {
            "ip": _optional("string", format="pve-ipv4-config"),
            "gw": _optional("string", format="ipv4"),
            "ip6": _optional("string", format="pve-ipv6-config"),
            "gw6": _optional("string", format="ipv6"),
        },
        _check_ipconfig,
    ),
    "pve-qm-watchdog": (
        {
            "model": _optional("string", enum=["i6300esb", "ib700"], default_key=1),
            "action": _optional(
                "string", enum=["reset", "shutdown", "poweroff", "pause", "debug", "none"]
            ),
        },
        None,
    ),
    "pve-qm-boot": (
        {
            "legacy": _optional("string", pattern="[acdn]{1,4}", default_key=1),
            "order": _optional("string", format="pve-qm-bootdev-list"),
        },
        None,
    ),
    "pve-qm-smbios1": (
        {
            "uuid": _optional(
                "string", pattern="[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}"
            ),
            **{key: _optional("string", pattern=_BASE64) for key in _SMBIOS},
            "base64": _optional("boolean"),
        },
        None,
    ),
    "pve-qm-cicustom": (
        {
            key: _optional("string", format="pve-volume-id")
            for key in ("meta", "network", "user", "vendor")
        },
        None,
    ),
}

"""From a template and what was asked for to the options of a guest. Pure."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping

from pveops.domain.address import parse_interface
from pveops.domain.cloudinit import encode_ssh_keys, split_ssh_keys
from pveops.domain.guest_template import PLACE, GuestTemplate, Variable
from pveops.errors import UsageError
from pveops.units import parse_mib, parse_size

_GIB = 1 << 30
_WORD = re.compile(r"[^\s,;={}]+")


def fill_values(template: GuestTemplate, given: Mapping[str, str]) -> dict[str, str]:
    """A text for every variable, as options take it; places and files still as they were said.

    Raises UsageError for unknown variables, missing ones, and values that are none.
    """
    for name in given:
        if name not in template.variables:
            near = difflib.get_close_matches(name, template.variables, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise UsageError(
                f"this template has no {name}",
                hint=f"{meant}it has {', '.join(template.variables)}",
            )
    values: dict[str, str] = {}
    for name, variable in template.variables.items():
        text = given.get(name)
        if text is None:
            if variable.default is None:
                raise UsageError(
                    f"{name} has to be given ({variable.help})", hint=f"--set {name}="
                )
            text = str(variable.default)
        values[name] = _normal(name, variable, text)
    return values


def _normal(name: str, variable: Variable, text: str) -> str:
    if text == "" and variable.default is not None and str(variable.default) == "":
        return ""
    try:
        value = _convert(variable, text)
    except ValueError as error:
        raise UsageError(
            f"{name}: {error}", hint=f"{name} is: {variable.help}; see `pve template show`"
        ) from error
    if variable.type in {"int", "memory", "size"}:
        low, high = variable.minimum, variable.maximum
        if (low is not None and int(value) < low) or (high is not None and int(value) > high):
            raise UsageError(f"{name} is {value}; it has to be from {low} to {high}")
    return value


def _convert(variable: Variable, text: str) -> str:
    """Raises ValueError with what it should have been."""
    return _CONVERTERS.get(variable.type, _word_of)(text)


def _int_of(text: str) -> str:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text!r} is no number")
    return text


def _memory_of(text: str) -> str:
    mib = parse_mib(text)
    if not mib:
        raise ValueError(f"{text!r} is no amount of memory, such as 4G")
    return str(mib)


def _size_of(text: str) -> str:
    size = parse_size(f"{text}G" if text.isdecimal() else text)
    if not size:
        raise ValueError(f"{text!r} is no size, such as 20G")
    return str(-(-size // _GIB))


def _address_of(text: str) -> str:
    if text != "dhcp" and parse_interface(text) is None:
        raise ValueError(f"{text!r} is no address with a prefix, such as 10.0.0.5/24")
    return text


def _host_of(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _keys_in(text: str) -> str:
    return "\n".join(split_ssh_keys(text))


def _file_of(text: str) -> str:
    if "," in text or "\n" in text:
        raise ValueError(f"{text!r} is no file")
    return text


def _word_of(text: str) -> str:
    # A comma or an equals sign would add options of its own.
    if not _WORD.fullmatch(text):
        raise ValueError(f"{text!r} is no single word")
    return text


_CONVERTERS: dict[str, Callable[[str], str]] = {
    "int": _int_of,
    "memory": _memory_of,
    "size": _size_of,
    "address": _address_of,
    "host": _host_of,
    "keys": _keys_in,
    "volume": _file_of,
}


def render_config(template: GuestTemplate, values: Mapping[str, str]) -> dict[str, str]:
    """The options with the values in them; what has no value is left out."""
    keys = template.of_type("keys")
    config: dict[str, str] = {}
    for key, text in template.config.items():
        names = PLACE.findall(str(text))
        if names and names[0] in keys:
            config[key] = _keys_of(key, values[names[0]])
        else:
            config[key] = _without_gaps(str(text), values)
    config = {key: text for key, text in config.items() if text}
    if "boot" in config:
        config["boot"] = _boot_order(config)
    return config


def _keys_of(option: str, text: str) -> str:
    """VMs take them percent-encoded, containers as they are."""
    if option == "sshkeys" and text:
        return encode_ssh_keys(tuple(text.splitlines()))
    return text


def _without_gaps(text: str, values: Mapping[str, str]) -> str:
    """`ip={ip},gw={gateway}` without the parts whose variable has no value."""
    parts = []
    for number, part in enumerate(text.split(",")):
        names = PLACE.findall(part)
        if names and not all(values[name] for name in names):
            if number == 0 and "=" not in part:
                return ""
            continue
        parts.append(PLACE.sub(lambda found: values[found[1]], part))
    return ",".join(parts)


def _boot_order(config: Mapping[str, str]) -> str:
    """Without devices that were left out: PVE refuses an order that names one."""
    order = config["boot"].removeprefix("order=").split(";")
    return "order=" + ";".join(device for device in order if device in config)


def render_growth(template: GuestTemplate, values: Mapping[str, str]) -> dict[str, str]:
    """The disks that are to grow, and to what size: `scsi0` -> `16G`."""
    return {
        slot: PLACE.sub(lambda found: values[found[1]], text)
        for slot, text in template.grow.items()
    }

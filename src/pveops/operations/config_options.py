"""The options of a guest's configuration that `guest set` knows: how they are said and stored."""

from __future__ import annotations

from typing import NamedTuple

from pveops.domain.guest import Kind
from pveops.domain.guest_name import check_guest_name
from pveops.errors import UsageError


class Option(NamedTuple):
    """One option. Keys and what is taken live are PVE's (QemuServer.pm, LXC/Config.pm)."""

    word: str
    """As the parameter is called."""
    qemu: str = ""
    """Its key in a VM's configuration; empty: VMs have none."""
    lxc: str = ""
    default: str = ""
    """What an unset key means."""
    is_switch: bool = False
    live: str = ""
    """The kinds that take it while they run: `qemu`, `lxc`, `both`."""

    def key(self, kind: Kind) -> str:
        """Its key for that kind. Raises UsageError when that kind has none."""
        key = self.qemu if kind == "qemu" else self.lxc
        if not key:
            other = "containers" if kind == "lxc" else "VMs"
            raise UsageError(f"{other} have no {self.word}")
        return key

    def is_live(self, kind: Kind) -> bool:
        """Whether a running guest takes a change at once."""
        return self.live in {kind, "both"}


OPTIONS = (
    Option("memory", "memory", "memory", "512", live="lxc"),
    Option("balloon", "balloon"),
    Option("swap", "", "swap", "512", live="lxc"),
    Option("cores", "cores", "cores", live="lxc"),
    Option("sockets", "sockets", "", "1"),
    Option("cpu", "cpu"),
    Option("rename", "name", "hostname", live="qemu"),
    Option("description", "description", "description", live="both"),
    Option("onboot", "onboot", "onboot", "0", is_switch=True, live="both"),
    Option("startup", "startup", "startup", live="both"),
    Option("agent", "agent", "", "0"),
    Option("boot", "boot"),
    Option("protection", "protection", "protection", "0", is_switch=True, live="both"),
)


def stored_text(option: Option, value: object) -> str:
    """The value as PVE stores it. Raises UsageError for what PVE would not take."""
    if option.is_switch or (option.word == "agent" and value in {"on", "off"}):
        return "1" if value in {"on", "1", True} else "0"
    text = str(value)
    if option.word == "rename":
        return check_guest_name(text)
    return text.rstrip("\n") if option.word == "description" else text


def find_option(kind: Kind, word: str) -> Option:
    """The option that a word or a key names. Raises UsageError with those that there are."""
    for option in OPTIONS:
        if word in {option.word, option.qemu if kind == "qemu" else option.lxc}:
            option.key(kind)
            return option
    known = ", ".join(o.word for o in OPTIONS if (o.qemu if kind == "qemu" else o.lxc))
    raise UsageError(f"there is no option {word!r} to change here", hint=f"known: {known}")

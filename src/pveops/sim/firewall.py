"""Firewall configurations: the files cluster.fw, host.fw and VMID.fw (pve-firewall)."""

from __future__ import annotations

import copy
import hashlib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pveops.sim.refusal import die, parameter_error

_RULE_MEMBERS = (
    "action type enable macro iface source dest proto dport sport icmp-type log comment"
)
RULE_MEMBERS = tuple(_RULE_MEMBERS.split())
PROTOCOLS_WITH_PORTS = frozenset(
    {"udp", "17", "udplite", "136", "tcp", "6", "dccp", "33", "sctp", "132"}
)
_MACROS = (
    "Amanda Auth BGP BitTorrent BitTorrent32 CVS Ceph Citrix DAAP DCC DHCPfwd DHCPv6 DNS "
    "Distcc FTP Finger GNUnet GRE Git HKP HTTP HTTPS ICPV2 ICQ IMAP IMAPS IPIP IPsec IPsecah "
    "IPsecnat IRC Jetdirect L2TP LDAP LDAPS MDNS MSNP MSSQL Mail Munin MySQL NNTP NNTPS NTP "
    "NeighborDiscovery OSPF OpenVPN PCA PMG POP3 POP3S PPtP Ping PostgreSQL Printer RDP RIP "
    "RNDC Razor Rdate Rsync SANE SMB SMBswat SMTP SMTPS SNMP SPAMD SPICEproxy SSH SVN SixXS "
    "Squid Submission Syslog TFTP Telnet Telnets Time Trcrt VNC VNCL Web Webcache Webmin "
    "Whois"
)
MACROS = tuple(_MACROS.split())
"""Names that stand for protocols and ports."""


@dataclass(slots=True)
class IpSet:
    """A named set of addresses."""

    name: str
    comment: str | None = None
    entries: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """A security group: rules under a name."""

    name: str
    comment: str | None = None
    rules: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class FirewallConfig:
    """One configuration file."""

    options: dict[str, Any] = field(default_factory=dict)
    rules: list[dict[str, Any]] = field(default_factory=list)
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the name in lower case."""
    ipsets: dict[str, IpSet] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)

    def get_ipset(self, name: str) -> IpSet:
        """The set; dies when there is none."""
        found = self.ipsets.get(name)
        if found is None:
            raise die(f"no such IPSet '{name}'")
        return found

    def get_group(self, name: str) -> Group:
        """The security group; dies when there is none."""
        found = self.groups.get(name)
        if found is None:
            raise die(f"no such security group '{name}'")
        return found


def digest_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """The digest that PVE computes over a list of objects (copy_list_with_digest)."""
    digest = hashlib.sha1()  # noqa: S324
    for row in rows:
        for key in sorted(row):
            digest.update(f"{key}:{row[key]}\n".encode())
    return digest.hexdigest()


def with_digest(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Copies of the rows, each with the digest of all."""
    digest = digest_of(rows)
    return [{**row, "digest": digest} for row in rows]


def check_digest(rows: Sequence[Mapping[str, Any]], digest: str | None) -> None:
    """Refuse a change that was made against another state."""
    if digest and digest != digest_of(rows):
        raise die("detected modified configuration - file changed by other user? Try again.")


def merge_rule(rule: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The rule with the given members; an empty one or `-` takes a member away."""
    merged = dict(rule)
    for name in RULE_MEMBERS:
        value = given.get(name)
        if value in ("", "-"):
            merged.pop(name, None)
        elif value is not None:
            merged[name] = value
    return merged


def verify_rule(
    rule: dict[str, Any], scope: str, own: FirewallConfig, cluster: FirewallConfig
) -> dict[str, Any]:
    """The rule as it is stored, or the 400 of the first mistake.

    scope: cluster, group, host, vm, ct or vnet.
    """
    for name in ("source", "dest"):
        problem = check_address_format(str(rule.get(name) or "+"))
        if problem:
            raise parameter_error({name: f"invalid format - {problem}\n"})
    _verify_kind(rule, scope)
    if rule.get("iface") and scope in ("vm", "ct") and not re.fullmatch(r"net\d+", rule["iface"]):
        raise parameter_error({"iface": "value does not match the regex pattern 'net\\d+'"})
    if rule.get("macro"):
        names = {name.lower(): name for name in MACROS}
        if rule["macro"].lower() not in names:
            raise parameter_error({"macro": f"unknown macro '{rule['macro']}'"})
        rule["macro"] = names[rule["macro"].lower()]
    _verify_ports(rule)
    versions = {_verify_addresses(rule, name, own, cluster) for name in ("source", "dest")}
    versions |= {{"icmp": 4, "icmpv6": 6, "ipv6-icmp": 6}.get(str(rule.get("proto")))}
    versions.discard(None)
    if len(versions) > 1:
        raise die("detected mixed ipv4/ipv6 addresses in rule")
    rule.pop("ipversion", None)
    return rule | ({"ipversion": versions.pop()} if versions else {})


def _verify_kind(rule: dict[str, Any], scope: str) -> None:
    kind, action = rule.get("type"), str(rule.get("action", ""))
    allowed: tuple[str, ...] = ("in", "out") if scope in ("vm", "ct") else ("in", "out", "forward")
    if scope == "vnet":
        allowed = ("forward",)
    if scope != "group":
        allowed += ("group",)
    if kind not in allowed:
        text = f"invalid rule type '{kind}' for rule_env '{scope}'"
        raise parameter_error({"type": text})
    if kind == "group":
        return
    if kind == "forward" and action == "REJECT":
        raise parameter_error({"action": "cannot define REJECT rules on forward chain"})
    if action not in ("ACCEPT", "DROP", "REJECT"):
        raise parameter_error({"action": f"unknown action '{action}'"})


def _verify_ports(rule: dict[str, Any]) -> None:
    proto = rule.get("proto")
    is_icmp = proto in ("icmp", "icmpv6", "ipv6-icmp")
    for name in ("dport", "sport"):
        if not rule.get(name):
            continue
        if not proto:
            text = f"missing property - '{name}' requires this property"
            raise parameter_error({"proto": text})
        if proto not in PROTOCOLS_WITH_PORTS and not (is_icmp and name == "dport"):
            raise parameter_error({name: f"protocol '{proto}' does not support ports"})
    if rule.get("icmp-type") and not is_icmp:
        text = "missing property - 'icmp-type' requires this property"
        raise parameter_error({"proto": text})
    if rule.get("icmp-type") and rule.get("dport"):
        text = "'icmp-type' cannot be specified together with 'dport'"
        raise parameter_error({"icmp-type": text})


def _verify_addresses(
    rule: dict[str, Any], name: str, own: FirewallConfig, cluster: FirewallConfig
) -> int | None:
    """The IP version of the addresses, if they tell."""
    value = str(rule.get(name) or "")
    if not value:
        return None
    if value.startswith("+"):
        ipset = re.sub(r"^\+(guest/|dc/|sdn/)?", "", value)
        if ipset not in own.ipsets and ipset not in cluster.ipsets:
            raise parameter_error({name: f"no such ipset '{ipset}'"})
        return None
    if re.fullmatch(r"(guest/|dc/)?[A-Za-z][A-Za-z0-9\-_]+", value):
        alias = value.rpartition("/")[2].lower()
        found = own.aliases.get(alias) or cluster.aliases.get(alias)
        if found is None:
            raise parameter_error({name: f"no such alias '{value}'"})
        return ip_version(found["cidr"])
    return ip_version(value)


def check_address_format(value: str) -> str | None:
    """What is wrong with the text of a source or destination (parse_address_list), or None."""
    if value.startswith("+") or re.fullmatch(r"(dc/|guest/)?[A-Za-z][A-Za-z0-9\-_]+", value):
        return None
    parts = value.split(",")
    if value != ",".join(part for part in parts if part):
        return "extraneous commas in list"
    versions = set()
    for part in parts:
        for address in part.split("-"):
            host, slash, prefix = address.partition("/")
            version = ip_version(host)
            if version is None:
                return f"invalid IP address: Cannot determine IP version for {host}"
            length = {4: 32, 6: 128}[version]
            if slash and (not prefix.isdigit() or int(prefix) > length):
                text = f"Prefix length {prefix} is longer than IP address ({length})"
                return f"invalid IP address: {text}"
            versions.add(version)
    if len(versions) > 1:
        return f"detected mixed ipv4/ipv6 addresses in address list '{value}'"
    return "you can't use a range in a list" if "-" in value and len(parts) > 1 else None


def ip_version(text: str) -> int | None:
    """4 or 6 of the first address in a list or range."""
    first = re.split("[,-]", text)[0].partition("/")[0]
    try:
        return ipaddress.ip_address(first).version
    except ValueError:
        return None


def delete_members(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The row without what may be deleted of a rule."""
    kept = {"action", "type"}
    return {key: value for key, value in row.items() if key in kept or key not in names}


def copy_guest_config(configs: dict[str, FirewallConfig], source: int, target: int) -> None:
    """A clone has the firewall of its source (clone_vmfw_conf)."""
    found = configs.get(f"guest/{source}")
    if found is not None:
        configs[f"guest/{target}"] = copy.deepcopy(found)

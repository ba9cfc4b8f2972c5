"""Firewall rules, aliases, sets, groups and options of the cluster, nodes, guests and networks."""

from __future__ import annotations

from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.firewall import (
    MACROS,
    FirewallConfig,
    Group,
    IpSet,
    check_digest,
    delete_members,
    digest_of,
    ip_version,
    merge_rule,
    verify_rule,
    with_digest,
)
from pveops.sim.refusal import die, parameter_error
from pveops.sim.router import Routes, Waiting

routes = Routes()
_CLUSTER = "/cluster/firewall"
_NODE = "/nodes/{node}/firewall"
_GUESTS = ("/nodes/{node}/qemu/{vmid}/firewall", "/nodes/{node}/lxc/{vmid}/firewall")
_VNET = "/cluster/sdn/vnets/{vnet}/firewall"
_RULES = [f"{base}/rules" for base in (_CLUSTER, _NODE, *_GUESTS, _VNET)]
_RULES.append(f"{_CLUSTER}/groups/{{group}}")
_SETS = [f"{base}/ipset" for base in (_CLUSTER, *_GUESTS)]
_ALIASES = [f"{base}/aliases" for base in (_CLUSTER, *_GUESTS)]
_OPTIONS = [f"{base}/options" for base in (_CLUSTER, _NODE, *_GUESTS, _VNET)]


def _scope(call: Call) -> tuple[str, str]:
    """Which kind of rules, and the name of their file."""
    template = call.template
    if "/groups/" in template:
        return "group", "cluster"
    if template.startswith(_CLUSTER):
        return "cluster", "cluster"
    if template.startswith("/cluster/sdn"):
        return "vnet", f"vnet/{call.params['vnet']}"
    if "{vmid}" in template:
        return ("vm" if "/qemu/" in template else "ct"), f"guest/{call.params['vmid']}"
    return "host", f"node/{call.node.name}"


def _config(call: Call) -> FirewallConfig:
    return call.cluster.firewall.setdefault(_scope(call)[1], FirewallConfig())


def _cluster_config(call: Call) -> FirewallConfig:
    return call.cluster.firewall.setdefault("cluster", FirewallConfig())


def _locked(call: Call) -> Waiting:
    name = _scope(call)[1].rpartition("/")[2]
    return lock_file(call.node, f"firewall/{name}.fw")


def _rules(call: Call) -> list[dict[str, Any]]:
    config = _config(call)
    if "group" in call.params and _scope(call)[0] == "group":
        return config.get_group(call.params["group"]).rules
    return config.rules


def _at(call: Call, rules: list[dict[str, Any]]) -> int:
    position = int(call.params["pos"])
    if position >= len(rules):
        raise die(f"no rule at position {position}")
    return position


@routes.get(*_RULES)
def list_rules(call: Call) -> list[dict[str, Any]]:
    """The rules with their positions."""
    rows = with_digest(_rules(call))
    return [row | {"pos": position} for position, row in enumerate(rows)]


@routes.get(*(f"{path}/{{pos}}" for path in _RULES))
def get_rule(call: Call) -> dict[str, Any]:
    """One rule; its position comes back as it was asked, as text."""
    rules = _rules(call)
    position = _at(call, rules)
    return with_digest(rules)[position] | {"pos": str(position)}


@routes.post(*_RULES)
def create_rule(call: Call) -> Waiting:
    """Put a rule in front of all others, or at `pos`; it is off unless `enable` says else."""
    yield from _locked(call)
    rules = _rules(call)
    rule = merge_rule({}, call.params)
    stored = verify_rule(rule, _scope(call)[0], _config(call), _cluster_config(call))
    stored.setdefault("enable", 0)
    rules.insert(0, stored)


@routes.put(*(f"{path}/{{pos}}" for path in _RULES))
def update_rule(call: Call) -> Waiting:
    """Change a rule, or move it."""
    yield from _locked(call)
    rules = _rules(call)
    check_digest(rules, call.get("digest"))
    position, moveto = _at(call, rules), call.get("moveto")
    if moveto is not None and moveto != position:
        rule = rules.pop(position)
        rules.insert(moveto - (moveto > position), rule)
        return
    names = str(call.get("delete") or "").replace(";", ",").split(",")
    rule = delete_members(merge_rule(rules[position], call.params), names)
    rules[position] = verify_rule(rule, _scope(call)[0], _config(call), _cluster_config(call))


@routes.delete(*(f"{path}/{{pos}}" for path in _RULES))
def delete_rule(call: Call) -> Waiting:
    """Take a rule out."""
    yield from _locked(call)
    rules = _rules(call)
    check_digest(rules, call.get("digest"))
    del rules[_at(call, rules)]


@routes.get(f"{_CLUSTER}/groups")
def list_groups(call: Call) -> list[dict[str, Any]]:
    """Security groups by name."""
    return with_digest(_named(_config(call).groups, "group"))


def _named(things: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return [
        {key: name} | ({"comment": thing.comment} if thing.comment else {})
        for name, thing in sorted(things.items())
    ]


@routes.post(f"{_CLUSTER}/groups")
def create_group(call: Call) -> Waiting:
    """Make a security group, or rename one."""
    yield from _locked(call)
    _create_named(call, "group", "Security group", _config(call).groups, Group)


@routes.delete(f"{_CLUSTER}/groups/{{group}}")
def delete_group(call: Call) -> Waiting:
    """Drop an empty security group."""
    yield from _locked(call)
    name = call.params["group"]
    if _config(call).get_group(name).rules:
        raise die(f"Security group '{name}' is not empty")
    del _config(call).groups[name]


def _create_named(call: Call, key: str, noun: str, things: dict[str, Any], make: Any) -> None:
    name, former = call.params[key], call.get("rename")
    if former is None:
        if name in things:
            raise parameter_error({key: f"{noun} '{name}' already exists"})
        things[name] = make(name, call.get("comment"))
        return
    check_digest(_named(things, key), call.get("digest"))
    if former not in things:
        raise parameter_error({key: f"{noun} '{former}' does not exist"})
    if former != name and name in things:
        raise parameter_error({key: f"{noun} '{name}' does already exist"})
    thing = things.pop(former)
    thing.name, thing.comment = name, call.get("comment", thing.comment)
    things[name] = thing


@routes.get(*_SETS)
def list_ipsets(call: Call) -> list[dict[str, Any]]:
    """Sets by name."""
    return with_digest(_named(_config(call).ipsets, "name"))


@routes.post(*_SETS)
def create_ipset(call: Call) -> Waiting:
    """Make a set, or rename one."""
    yield from _locked(call)
    _create_named(call, "name", "IPSet", _config(call).ipsets, IpSet)


@routes.delete(*(f"{path}/{{name}}" for path in _SETS))
def delete_ipset(call: Call) -> Waiting:
    """Drop a set; with members only by force."""
    yield from _locked(call)
    ipset = _config(call).get_ipset(call.params["name"])
    if ipset.entries and not call.get("force"):
        raise die(f"IPSet '{ipset.name}' is not empty")
    del _config(call).ipsets[ipset.name]


@routes.get(*(f"{path}/{{name}}" for path in _SETS))
def list_entries(call: Call) -> list[dict[str, Any]]:
    """Members of a set."""
    return with_digest(_config(call).get_ipset(call.params["name"]).entries)


@routes.post(*(f"{path}/{{name}}" for path in _SETS))
def create_entry(call: Call) -> Waiting:
    """Add an address, a network or an alias."""
    yield from _locked(call)
    ipset, cidr = _config(call).get_ipset(call.params["name"]), call.params["cidr"]
    if any(entry["cidr"] == cidr for entry in ipset.entries):
        raise parameter_error({"cidr": f"address '{cidr}' already exists"})
    if cidr.endswith("/0"):
        raise parameter_error({"cidr": "a zero prefix is not allowed in ipset entries"})
    entry = {"cidr": cidr} | {k: call.params[k] for k in ("nomatch", "comment") if call.get(k)}
    ipset.entries.insert(0, entry)


@routes.get(*(f"{path}/{{name}}/{{cidr}}" for path in _SETS))
def get_entry(call: Call) -> dict[str, Any]:
    """One member of a set."""
    entries = with_digest(_config(call).get_ipset(call.params["name"]).entries)
    return entries[_entry_at(call, entries)]


def _entry_at(call: Call, entries: list[dict[str, Any]]) -> int:
    for position, entry in enumerate(entries):
        if entry["cidr"] == call.params["cidr"]:
            return position
    raise parameter_error({"cidr": "no such IP/Network"})


@routes.put(*(f"{path}/{{name}}/{{cidr}}" for path in _SETS))
def update_entry(call: Call) -> Waiting:
    """Comment and negation of a member."""
    yield from _locked(call)
    entries = _config(call).get_ipset(call.params["name"]).entries
    check_digest(entries, call.get("digest"))
    entry = entries[_entry_at(call, entries)]
    for name in ("nomatch", "comment"):
        entry.pop(name, None)
        if call.get(name):
            entry[name] = call.params[name]


@routes.delete(*(f"{path}/{{name}}/{{cidr}}" for path in _SETS))
def delete_entry(call: Call) -> Waiting:
    """Take a member out; one that is not there is no mistake."""
    yield from _locked(call)
    ipset = _config(call).get_ipset(call.params["name"])
    check_digest(ipset.entries, call.get("digest"))
    ipset.entries = [entry for entry in ipset.entries if entry["cidr"] != call.params["cidr"]]


def _alias_rows(call: Call) -> list[dict[str, Any]]:
    return [alias for _, alias in sorted(_config(call).aliases.items())]


@routes.get(*_ALIASES)
def list_aliases(call: Call) -> list[dict[str, Any]]:
    """Aliases by name."""
    return with_digest(_alias_rows(call))


@routes.post(*_ALIASES)
def create_alias(call: Call) -> Waiting:
    """Name an address or a network."""
    yield from _locked(call)
    name = call.params["name"]
    if name.lower() in _config(call).aliases:
        raise parameter_error({"name": f"alias '{name}' already exists"})
    _config(call).aliases[name.lower()] = _alias(call, name)


def _alias(call: Call, name: str) -> dict[str, Any]:
    row = {"name": name, "cidr": call.params["cidr"]}
    if version := ip_version(call.params["cidr"]):
        row["ipversion"] = version
    return row | ({"comment": call.params["comment"]} if call.get("comment") else {})


@routes.get(*(f"{path}/{{name}}" for path in _ALIASES))
def get_alias(call: Call) -> dict[str, Any]:
    """One alias, without a digest."""
    alias = _config(call).aliases.get(call.params["name"].lower())
    if alias is None:
        raise parameter_error({"name": "no such alias"})
    return dict(alias)


@routes.put(*(f"{path}/{{name}}" for path in _ALIASES))
def update_alias(call: Call) -> Waiting:
    """Change or rename an alias."""
    yield from _locked(call)
    aliases, name = _config(call).aliases, call.params["name"]
    check_digest(_alias_rows(call), call.get("digest"))
    if name.lower() not in aliases:
        raise parameter_error({"name": "no such alias"})
    new_name = call.get("rename") or name
    if new_name.lower() != name.lower() and new_name.lower() in aliases:
        raise parameter_error({"name": f"alias '{new_name}' already exists"})
    del aliases[name.lower()]
    aliases[new_name.lower()] = _alias(call, new_name)


@routes.delete(*(f"{path}/{{name}}" for path in _ALIASES))
def delete_alias(call: Call) -> Waiting:
    """Drop an alias; one that is not there is no mistake."""
    yield from _locked(call)
    check_digest(_alias_rows(call), call.get("digest"))
    _config(call).aliases.pop(call.params["name"].lower(), None)


@routes.get(*_OPTIONS)
def get_options(call: Call) -> dict[str, Any]:
    """What was set, and the digest."""
    options = _config(call).options
    return {**options, "digest": digest_of([options])}


@routes.put(*_OPTIONS)
def set_options(call: Call) -> Waiting:
    """Set and delete options."""
    yield from _locked(call)
    options = _config(call).options
    check_digest([options], call.get("digest"))
    for name in str(call.get("delete") or "").replace(";", ",").split(","):
        options.pop(name, None)
    reserved = {"node", "vmid", "vnet", "delete", "digest"}
    options |= {k: v for k, v in call.params.items() if k not in reserved}


@routes.get(f"{_CLUSTER}/macros")
def list_macros(_call: Call) -> list[dict[str, Any]]:
    """Names that stand for protocols and ports."""
    return [{"macro": name, "descr": f"{name} traffic"} for name in MACROS]


@routes.get(f"{_CLUSTER}/refs", *(f"{base}/refs" for base in _GUESTS))
def list_refs(call: Call) -> list[dict[str, Any]]:
    """What a rule's source and destination may name."""
    scopes = [("dc", _cluster_config(call))]
    if _scope(call)[0] != "cluster":
        scopes.append(("guest", _config(call)))
    wanted = call.get("type")
    rows = []
    for scope, config in scopes:
        if wanted in (None, "ipset"):
            rows += [_ref("ipset", scope, n, s.comment, "+") for n, s in config.ipsets.items()]
        if wanted in (None, "alias"):
            rows += [
                _ref("alias", scope, alias["name"], alias.get("comment"), "")
                for alias in config.aliases.values()
            ]
    return rows


def _ref(kind: str, scope: str, name: str, comment: str | None, mark: str) -> dict[str, Any]:
    row = {"type": kind, "name": name, "ref": f"{mark}{scope}/{name}", "scope": scope}
    return row | ({"comment": comment} if comment else {})


@routes.get(f"{_NODE}/log", *(f"{base}/log" for base in _GUESTS))
def read_log(call: Call) -> list[dict[str, Any]]:
    """Nothing was logged: no packet flows here."""
    call.extra["total"] = 1
    return [{"n": 1, "t": "no content"}]

"""From a release and a path to the facts of its methods."""

from __future__ import annotations

import pytest

from pveops.errors import ConfigError
from pveops.schema import Facts, nearest_version, versions

FACTS = Facts.open("9.2")


def test_the_releases_from_7_4_to_9_2_are_known():
    assert versions() == ("7.4", "8.0", "8.1", "8.2", "8.3", "8.4", "9.0", "9.1", "9.2")


@pytest.mark.parametrize(
    ("release", "nearest"),
    [
        ("9.2.11", "9.2"),
        ("8.4.21", "8.4"),
        ("7.4-17", "7.4"),
        ("8.9", "8.4"),
        ("10.0", "9.2"),
        ("6.4", "7.4"),
        ("", "9.2"),
    ],
)
def test_a_release_finds_the_newest_known_that_is_not_newer(release, nearest):
    assert nearest_version(release) == nearest
    assert Facts.open(release).version == nearest


def test_a_path_is_taken_apart():
    match = FACTS.resolve("GET", "/nodes/pve1/qemu/100/config")
    assert match is not None
    assert match.template == "/nodes/{node}/qemu/{vmid}/config"
    assert match.path_params == {"node": "pve1", "vmid": "100"}
    assert match.method.name == "vm_config"
    assert match.method.proxyto == "node"


def test_parameters_of_a_path_are_decoded_before_it_is_split():
    """pve-http-server unescapes the whole path first, so %2F divides, too."""
    match = FACTS.resolve("GET", "/access/users/eve%40pve")
    assert match is not None
    assert match.path_params == {"userid": "eve@pve"}
    assert FACTS.resolve("GET", "/pools/p1%2Fsub") is None


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        (
            "/nodes/n/storage/local/content/local%3Aiso%2Fa.iso",
            "volume",
            "local:iso/a.iso",
        ),
        ("/cluster/firewall/ipset/s/10.0.0.0%2F24", "cidr", "10.0.0.0/24"),
    ],
)
def test_volumes_and_networks_swallow_the_slashes_that_follow(path, name, value):
    """`fragmentDelimiter` of PVE::API2::Storage::Status and PVE::API2::Firewall::IPSet."""
    match = FACTS.resolve("GET", path)
    assert match is not None
    assert match.path_params[name] == value


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nosuch"),
        ("PATCH", "/version"),
        ("POST", "/version"),
        ("GET", "/Version"),
        ("GET", "/access/users/a@pve/token/a%20b"),
        ("GET", "/nodes/pve1/qemu/100/config/more"),
    ],
)
def test_what_pve_answers_with_501_does_not_resolve(method, path):
    assert FACTS.resolve(method, path) is None


def test_empty_segments_of_a_path_are_ignored():
    """Recorded: `/version/` and `//version` work."""
    assert FACTS.resolve("GET", "//version/") == FACTS.resolve("GET", "/version")


def test_what_is_below_a_path_is_listed():
    assert FACTS.children("/nodes/pve1/qemu/100/status") == (
        *("current", "reboot", "reset", "resume", "shutdown", "start", "stop", "suspend"),
    )
    assert FACTS.children("/access/users") == ("{userid}",)
    assert FACTS.children("/nosuch") == ()
    assert "nodes" in FACTS.children("/")


def test_methods_of_a_template_are_listed():
    assert FACTS.methods_at("/nodes/{node}/qemu/{vmid}/config") == ("GET", "POST", "PUT")


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/cluster/resource", "/cluster/resources"),
        ("/nodes/pve1/qmu/100/config", "/nodes/{node}/qemu/{vmid}/config"),
        ("/nodes/pve1/qemu/100/status/strat", "/nodes/{node}/qemu/{vmid}/status/start"),
    ],
)
def test_a_misspelt_path_has_a_suggestion(path, meant):
    assert FACTS.suggest_paths(path)[0] == meant


def test_tasks_are_told_by_what_the_release_declares():
    """A VM's disk was resized at once in 7.4; a container's template is a task declared null."""
    template = "/nodes/{node}/qemu/{vmid}/resize"
    assert [bool(Facts.open(v).method("PUT", template).task) for v in ("7.4", "8.0")] == [
        *(False, True),
    ]
    assert FACTS.method("POST", "/nodes/{node}/lxc/{vmid}/template").task == "upid"
    assert FACTS.method("POST", "/nodes/{node}/vncshell").task == "upid-in-object"


def test_flags_are_kept():
    ticket = FACTS.method("POST", "/access/ticket")
    assert ticket is not None
    assert not ticket.allows_token
    stop = FACTS.method("POST", "/nodes/{node}/qemu/{vmid}/status/stop")
    assert stop is not None
    assert stop.is_protected
    assert stop.allows_token
    assert not stop.is_for_root_only
    assert FACTS.method("POST", "/cluster/config").is_for_root_only


@pytest.mark.parametrize("content", [b"", b"junk", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_a_stored_schema_that_cannot_be_read_says_what_to_do(tmp_path, content):
    path = tmp_path / "schema"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        Facts.load(path)
    assert "pve schema refresh" in caught.value.hint


def test_a_stored_schema_is_read_as_it_was(tmp_path):
    path = tmp_path / "schema"
    path.write_bytes(FACTS.save())
    stored = Facts.load(path)
    assert stored.version == "9.2"
    assert stored.templates() == FACTS.templates()
    for template in ("/version", "/nodes/{node}/qemu/{vmid}/config"):
        assert stored.method("GET", template) == FACTS.method("GET", template)

"""PVE's named formats, and what it says about values that do not have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pveops.schema.formats import FORMATS, check_format

GOOD = [
    ("pve-vmid", "100"),
    ("pve-node", "pve-1"),
    ("pve-storage-id", "local-lvm"),
    ("pve-configid", "job_1-a"),
    ("pve-poolid", "a/b/c"),
    ("pve-userid", "eve@pve"),
    ("pve-tokenid", "eve@pve!ci"),
    ("pve-tag-list", "a;b c,d"),
    ("pve-tag-list", ""),
    ("pve-volume-id", "local:100/vm-100-disk-0.raw"),
    ("pve-volume-id-or-qm-path", "/dev/sdb"),
    ("pve-volume-id-or-qm-path", "none"),
    ("pve-storage-path", "/mnt/a b"),
    ("pve-storage-server", "192.0.2.1"),
    ("pve-storage-server", "nas.example.test"),
    ("pve-startup-order", "order=1,up=30,down=60"),
    ("pve-startup-order", "3"),
    ("pve-hotplug-features", "network,disk"),
    ("pve-hotplug-features", "0"),
    ("pve-vlan-id-or-range", "2-4094"),
    ("pve-replication-job-id", "100-0"),
    ("pve-lxc-mp-string", "/mnt/data"),
    ("storage-pair-list", "local:ceph,backups"),
    ("storage-pair-list", "1"),
    ("disk-size", "1.5GiB"),
    ("disk-size", "10G"),
    ("mac-addr", "BC:24:11:00:00:02"),
    ("mac-prefix", "BC:24:11"),
    ("dns-name", "web01.example.test"),
    ("address", "::1"),
    ("email", "a.b+c@example.test"),
    ("email-or-username", "root"),
    ("ip", "2001:db8::1"),
    ("ipv4", "192.0.2.1"),
    ("ipv4mask", "255.255.254.0"),
    ("CIDR", "192.0.2.17/24"),
    ("CIDR", "2001:db8::/32"),
    ("pve-ipv4-config", "dhcp"),
    ("pve-ipv6-config", "auto"),
    ("urlencoded", "ssh-ed25519%20AAAA"),
    ("pve-fw-addr-spec", "10.0.0.0/8,192.0.2.1"),
    ("pve-fw-addr-spec", "192.0.2.1-192.0.2.9"),
    ("pve-fw-addr-spec", "+blocked"),
    ("pve-fw-addr-spec", "dc/office"),
    ("pve-fw-dport-spec", "22,80:85,https"),
    ("ipv4-opt", ""),
    ("a-format-of-a-newer-release", "anything"),
]

BAD = [
    ("pve-vmid", "99", "value does not look like a valid VM ID"),
    ("pve-vmid", "0101", "value does not look like a valid VM ID"),
    ("pve-vmid", "1000000000", "value does not look like a valid VM ID"),
    ("pve-node", "a_b", "value does not look like a valid node name"),
    ("pve-storage-id", "3st", "storage ID '3st' contains illegal characters"),
    ("pve-storage-id", "s", "storage ID 's' cannot be shorter than 2 characters"),
    ("pve-configid", "1a", "invalid configuration ID '1a'"),
    ("pve-poolid", "a b", "pool name 'a b' contains invalid characters"),
    ("pve-poolid", "a/b/c/d", "pool name 'a/b/c/d' nested too deeply (max levels = 3)"),
    ("pve-userid", "bob", "value 'bob' does not look like a valid user name"),
    ("pve-userid", "b", "user name 'b' is too short"),
    ("pve-tokenid", "eve@pve", "value 'eve@pve' does not look like a valid token ID"),
    ("pve-tag-list", "ok;no!", "invalid characters in tag"),
    ("pve-volume-id", "iso", "unable to parse volume ID 'iso'"),
    ("pve-storage-content-list", "iso,x", "invalid content type 'x'"),
    ("pve-task-status-type-list", "ok,bogus", "invalid status 'bogus'"),
    ("pve-storage-path", "x/y", "value does not look like a valid absolute path"),
    ("pve-startup-order", "first", "unable to parse startup options"),
    ("pve-hotplug-features", "gpu", "invalid hotplug feature 'gpu'"),
    ("pve-vlan-id-or-range", "1", "invalid VLAN tag '1'"),
    ("pve-vlan-id-or-range", "9-3", "VLAN range must go from lower to higher tag '9-3'"),
    ("pve-replication-job-id", "100", "invalid replication job id '100'"),
    ("pve-lxc-mp-string", "/a/../b", "/a/../b contains illegal character sequences"),
    ("disk-size", "10X", "value does not look like a valid disk size: 10X"),
    ("mac-addr", "01:00:00:00:00:00", "value does not look like a valid unicast MAC address"),
    ("dns-name", "-x-", "value does not look like a valid DNS name"),
    ("address", "a_b", "value does not look like a valid address: a_b"),
    ("email", "a@b@c", "value does not look like a valid email address"),
    ("ip", "fe80::1%eth0", "value does not look like a valid IP address"),
    ("ipv4", "192.0.2.01", "value does not look like a valid IPv4 address"),
    ("ipv6", "192.0.2.1", "value does not look like a valid IPv6 address"),
    ("ipv4mask", "255.0.255.0", "value does not look like a valid IP netmask"),
    ("CIDR", "192.0.2.1", "value does not look like a valid CIDR network"),
    ("CIDRv4", "0.0.0.0/0", "value does not look like a valid IPv4 CIDR network"),
    ("CIDRv6", "2001:db8::/129", "value does not look like a valid IPv6 CIDR network"),
    ("urlencoded", "a b", "invalid urlencoded string: a b"),
    (
        "pve-fw-addr-spec",
        "10.0.0.0/99",
        "invalid IP address: Prefix length 99 is longer than IP address (32)",
    ),
    ("pve-fw-addr-spec", "10.0.0.1,", "extraneous commas in list"),
    ("pve-fw-dport-spec", "65536", "invalid port '65536'"),
    (
        "pve-fw-dport-spec",
        "90:80",
        "backwards range '90:80' not allowed, did you mean '80:90'?",
    ),
]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_values_of_a_format_are_let_through(name, value):
    assert check_format(name, value) is None


@pytest.mark.parametrize(("name", "value", "text"), BAD)
def test_other_values_are_refused_in_pves_words(name, value, text):
    assert check_format(name, value) == text


@given(name=st.sampled_from(sorted(FORMATS)), value=st.text() | st.from_regex(r"[0-9]{18,40}"))
def test_any_text_is_judged(name, value):
    assert isinstance(check_format(name, value), str | None)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_number_of_thousands_of_digits_is_judged(name):
    """Python reads no number of more than 4300 digits."""
    digits = "9" * 5000
    for value in (digits, f"{digits}-0", f"{digits}:{digits}", f"10.0.0.0/{digits}"):
        assert isinstance(check_format(name, value), str | None)

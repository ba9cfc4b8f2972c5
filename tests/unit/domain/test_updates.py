"""Which packages are kernels, by their names in Proxmox VE's repositories."""

from __future__ import annotations

import pytest

from pveops.domain.updates import is_kernel


@pytest.mark.parametrize(
    ("package", "is_one"),
    [
        ("proxmox-kernel-6.17.9-1-pve-signed", True),
        ("proxmox-kernel-6.17", True),
        ("pve-kernel-5.15.158-2-pve", True),
        ("proxmox-default-kernel", True),
        ("proxmox-kernel-helper", False),
        ("pve-kernel-helper", False),
        ("linux-base", False),
    ],
)
def test_a_kernel_is_told_from_its_tools(package: str, is_one: bool) -> None:
    assert is_kernel(package) is is_one

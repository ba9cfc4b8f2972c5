"""The templates that ship with the skill: each release takes what they make."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.api.params import check_call
from pveops.config.guest_templates import find_skill_folder, list_templates, load_template
from pveops.domain.guest_template import GuestTemplate
from pveops.errors import ConfigError
from pveops.operations.template_values import fill_values, render_config
from pveops.schema import Facts

FOLDER = find_skill_folder() / "assets" / "templates"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleE me"
FILES = {
    "import": "local:import/a.qcow2",
    "iso": "local:iso/a.iso",
    "vztmpl": "local:vztmpl/a.tar.zst",
}


def rendered(template: GuestTemplate, **given: str) -> dict[str, str]:
    known = {key: text for key, text in given.items() if key in template.variables}
    values = fill_values(template, known)
    for name, variable in template.of_type("storage", "volume").items():
        values[name] = FILES.get(variable.content, "local-lvm")
    return render_config(template, values)


def test_there_are_those_that_people_start_with() -> None:
    wanted = {
        "debian-cloud-vm",
        "ubuntu-cloud-vm",
        "windows-vm",
        "minimal-vm",
        "alpine-ct",
        "debian-ct",
    }
    assert wanted <= set(NAMES)
    assert list_templates((FOLDER,)).problems == ()


@pytest.mark.parametrize("version", ["7.4", "8.0", "8.4", "9.0", "9.1", "9.2"])
@pytest.mark.parametrize("name", NAMES)
def test_every_release_takes_what_a_template_makes(name: str, version: str) -> None:
    template = load_template(name, (FOLDER,)).template
    facts = Facts.open(version)
    for given in (
        {},
        {"ip": "10.0.0.5/24", "gateway": "10.0.0.1", "dns": "10.0.0.1", "ssh_keys": KEY},
    ):
        params = {**rendered(template, **given), "vmid": 100}
        assert check_call(facts, "POST", f"/nodes/pve1/{template.path}", params) == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_boot_order_names_devices_that_there_are(name: str) -> None:
    """PVE refuses one that does not exist (QemuServer.pm, `invalid bootorder`)."""
    config = rendered(load_template(name, (FOLDER,)).template)
    for device in config.get("boot", "").removeprefix("order=").split(";"):
        assert not device or device in config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("summary: x\nkind: pod\nvariables: {}\nconfig: {}\n", "line 2"),
        ("summary: x\nkind: vm\nvariables: {}\nconfig: {vmid: 5}\n", "vmid is not a template's"),
        ("summary: x\nkind: vm\nvariables: {}\nconfig: {memory: '{m}'}\n", "not declared"),
        (
            "summary: x\nkind: vm\nvariables: {m: {type: memory, help: h}}\nconfig: {}\n",
            "is not used",
        ),
        (
            "summary: x\nkind: vm\nvariables: {s: {type: storage, help: h}}\n"
            "config: {scsi0: '{s}:1'}\n",
            "needs `content`",
        ),
        ("summary: x\nkind: vm\nvariables: {}\nconfig: {}\ngrow: {scsi0: 5G}\n", "cannot grow"),
    ],
)
def test_mistakes_are_told(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_template("mine", (tmp_path,))

"""OpenClaw with pveops set up in it, and a simulated cluster, once for all tests here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.openclaw.install import OpenClaw, Person
from tests.openclaw.model import Model
from tests.served import BIN, Cluster, serving

PLACE = os.environ.get("PVEOPS_OPENCLAW", "")
"""The folder that `make openclaw` installs OpenClaw into."""
CHANNEL, TARGET = "telegram", "123456"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without an OpenClaw nothing here can run; `make openclaw` brings one."""
    here = Path(__file__).parent
    for item in items:
        if not PLACE and here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="run in a real OpenClaw by `make openclaw`"))


class Home(NamedTuple):
    """An OpenClaw in which `pve openclaw setup --apply` was run."""

    openclaw: OpenClaw
    cluster: Cluster
    model: Model
    said: str
    """What the setup answered."""

    def pve(self, *words: str) -> str:
        """A command of pve's as the owner runs it; what it printed."""
        return self.openclaw.process([str(BIN / "pve"), *words]).stdout

    def status(self, guest: str) -> str:
        """How a guest really is."""
        rows = self.cluster.control("/state")["guests"]
        return next(row["power"] for row in rows if row["name"] == guest)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Everything, running."""
    root = tmp_path_factory.mktemp("openclaw")
    model = Model()
    openclaw = OpenClaw(Path(PLACE).absolute(), root, BIN, model)
    with serving(root, "--seed", "homelab", "--scale", "4", "--auth-delay", "0") as cluster:
        try:
            made = Home(openclaw, cluster, model, "")
            made.pve("demo", "use", str(root / "ready.json"))
            _tell_at_once(openclaw.pve_home / "config.yaml")
            openclaw.start()
            said = made.pve(
                *("openclaw", "setup", "--apply", "--channel", CHANNEL, "--target", TARGET)
            )
            yield made._replace(said=said)
        finally:
            openclaw.close()
            model.close()


@pytest.fixture
def person(home: Home) -> Iterator[Person]:
    """Somebody in a chat."""
    someone = Person(home.openclaw)
    yield someone
    someone.close()


def _tell_at_once(config: Path) -> None:
    """The monitor waits for nothing: a test looks twice within seconds."""
    import yaml

    document = yaml.safe_load(config.read_text())
    for profile in document["profiles"].values():
        profile["monitor"] = {"raise_after_s": 0, "clear_after_s": 0}
    config.write_text(json.dumps(document))

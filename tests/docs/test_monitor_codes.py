"""The page about the monitor lists every finding that the monitor makes."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = (
    *ROOT.glob("src/pveops/operations/health*.py"),
    *ROOT.glob("src/pveops/monitor/*.py"),
)
_NOUNS = (
    "clock|cluster|node|guest|ha|storage|zfs|thin|disk|certificate|backup|task|replication|ceph|"
    "run"
)
_CODE = re.compile(rf'"((?:{_NOUNS})\.[a-z-]+)"')
_FAMILIES = frozenset({"guest.state", "storage.usage", "zfs.usage", "backup.age", "node.root"})


def test_every_code_stands_in_the_table() -> None:
    codes = {code for path in SOURCES for code in _CODE.findall(path.read_text())} - _FAMILIES
    assert len(codes) > 40
    page = (ROOT / "docs/howto/monitor.md").read_text().replace("`, `-", "`, `node.pressure-")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    listed = {code for row in rows for code in re.findall(r"`([a-z]+\.[a-z-]+)`", row)}
    assert codes == listed

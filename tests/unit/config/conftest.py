from __future__ import annotations

from pathlib import Path

import pytest

from pveops.config.paths import Paths, find_paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A workspace, and a home beside it."""
    return find_paths({"PVE_HOME": str(tmp_path / "workspace"), "HOME": str(tmp_path / "home")})

"""What lies beside the repository: API schemas of releases, recorded answers of real servers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHARED = Path(os.environ.get("PVEOPS_SHARED", ROOT.parent / "shared"))


def find_or_skip(*parts: str) -> Path:
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path.name} is not in {SHARED}")
    return path

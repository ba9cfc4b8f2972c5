"""Names are written by others: a proposed command line can be typed as it stands."""

from __future__ import annotations

import copy
import shlex
from pathlib import Path

import pytest

from pveops.sanitize import shell_word
from tests.commandline import run_line
from tests.world import make_world

EVIL = "vzdump-qemu-102-$(touch${IFS}pwned)-2026_11_25-02_00_00.vma.zst"


@pytest.mark.parametrize("verb", ["backup delete", "storage delete"])
def test_a_backups_name_is_never_more_than_a_word_of_a_proposed_command(
    verb: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    volumes = world.cluster.storages.backings["backups", ""].volumes
    evil = copy.copy(next(each for each in volumes.values() if each.vmid == 102))
    evil.name = f"backup/{EVIL}"
    evil.is_protected = True
    volumes[evil.name] = evil
    outcome = run_line(world, tmp_path, f"pve {verb} 'backups:backup/{EVIL}'")
    proposed = [line for line in outcome.out.splitlines() if "pwned" in line and "pve " in line]
    assert proposed, outcome.out
    for line in proposed:
        words = shlex.split(line[line.index("pve ") :])
        assert f"backups:backup/{EVIL}" in words, line
        assert f"'backups:backup/{EVIL}'" in line


@pytest.mark.parametrize(
    "text", ["web01", "backups:backup/a-1.vma.zst", "a b", "$(x)", "it's", "", "a;b", "ü", "`x`"]
)
def test_a_word_is_read_back_by_a_shell_as_it_was(text: str) -> None:
    assert shlex.split(shell_word(text)) == [text]
    assert shell_word(text) == shlex.quote(text)

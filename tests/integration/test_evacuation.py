"""An evacuation by real processes over TLS, its worker killed with two moves in flight."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter

from tests.integration.conftest import Home
from tests.integration.test_processes import worker_of
from tests.served import patiently

WORDS = "pve node evacuate pve2 --leave gitlab --leave mail01 --allow-restart"
MAX_CHARS = 3_500
RESUMPTIONS = 3


def moves_of(home: Home) -> Counter[str]:
    paths = [row["path"] for row in home.cluster.effects() if row["path"].endswith("/migrate")]
    return Counter(paths)


def test_a_refused_evacuation_shows_every_guest_with_what_stands_against_it(home: Home) -> None:
    code, out = home.run("pve node evacuate pve2")
    assert code == 4, out
    assert len(out) <= MAX_CHARS
    assert re.search(r"^105\s+gitlab\s+blocked$", out, re.MULTILINE), out
    assert out.splitlines()[0].startswith(
        "error E_PREFLIGHT: gitlab (VM 105 on pve2): it is locked (backup) (and 4 more"
    )
    assert "\nproblem vm/120: " in out
    assert re.search(r"^103\s+db01\s+RUNNING 40d, live to pve1", out, re.MULTILINE), out
    assert "--leave 105" in out
    assert home.cluster.effects() == []


def test_killed_with_moves_in_flight_it_is_picked_up_and_nobody_moves_twice(home: Home) -> None:
    code, out = home.run(f"{WORDS} --reason 'add memory'")
    assert code == 3, out
    assert len(out) <= MAX_CHARS
    plan = re.search(r"pl_[0-9a-f]+", out)
    assert plan is not None
    assert "! stopped, moved and started again: dhcp, proxy, builder" in out
    assert "undo: per target, see the plan" in out
    sent = re.findall(r"code: (\S+)", home.inbox.read_text())
    process = home.start(f"pve-apply {plan[0]} --code {sent[-1]}")
    patiently(lambda: len(moves_of(home)) >= 2, process)
    os.kill(worker_of(home), signal.SIGKILL)
    process.communicate(timeout=60)
    run = re.search(r"run_[0-9a-f]+", home.run("pve run list")[1])
    assert run is not None
    exit_code = 0
    for _ in range(RESUMPTIONS):
        exit_code, out = home.run(f"pve run resume {run[0]} --wait 60")
        if exit_code != 8:
            break
    assert exit_code in {0, 11}, out
    if exit_code:
        # The kill may have come between the note of an intent and its sending.
        assert "never took effect" in out, out
    else:
        assert "stay on pve2 and run: gitlab" in out, out
    assert set(moves_of(home).values()) == {1}
    assert home.run("pve audit verify")[0] == 0
    code, out = home.run("pve node return pve2 --allow-restart")
    assert code == 3, out
    assert len(re.findall(r" to pve2", out)) >= 6, out

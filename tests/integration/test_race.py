"""Sixty applies of one plan, from twenty processes, at the same moment: exactly one effect."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

from tests.integration.conftest import Home

PROCESSES, EACH = 20, 3
RACER = """
import io, sys
from pveops.cli.call import Call
from pveops.cli.process import run_call
codes = []
for _ in range(int(sys.argv[3])):
    call = Call.of_process("pve-apply", [sys.argv[1], "--code", sys.argv[2]])
    call.stdout, call.may_detach = io.StringIO(), False
    codes.append(run_call(call))
print(*codes)
"""


def test_sixty_applies_from_twenty_processes_have_one_effect(home: Home) -> None:
    plan, code = home.plan_a_stop()
    words = [sys.executable, "-c", RACER, plan, code, str(EACH)]
    processes = [
        subprocess.Popen(words, env=home.environ, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    codes: Counter[int] = Counter()
    for process in processes:
        out, _ = process.communicate(timeout=120)
        codes.update(map(int, out.split()))
    assert codes.total() == PROCESSES * EACH
    assert codes[0] == 1, codes
    assert set(codes) <= {0, 4, 9}, codes
    assert len(home.cluster.effects()) == 1
    assert home.run("pve audit verify")[0] == 0

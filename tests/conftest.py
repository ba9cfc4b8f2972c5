"""What holds for the whole suite: nothing that it writes holds a secret.

Every simulated cluster that a test makes gives its secrets away here; when the suite ends, all
that lies in its temporary folders is read: stores, journals, logs, traces, crash reports, caches.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pveops.engine.consent
import pveops.redact
from tests.secrets_scan import find_leaks, forget

# matplotlib's list of fonts, made once for all workers and runs, and in nobody's home.
os.environ.setdefault(
    "MPLCONFIGDIR", str(Path(__file__).resolve().parents[1] / ".cache" / "plots")
)

SCRYPT_COST = pveops.engine.consent._COST
"""What a code's hash costs outside of this process. In it, half of the suite would be that."""
pveops.engine.consent._COST = 2


@pytest.fixture(autouse=True)
def _secrets_of_one_test() -> Iterator[None]:
    """What a test's clusters and profiles taught the process to mask is forgotten after it.

    Each text is looked through for each secret known: those of thousands of tests take minutes.
    """
    process = pveops.redact._process
    known = process._literals, process._patterns
    yield
    process._literals, process._patterns = known


LEAKS: list[str] = []
"""Of all workers, in the process that started them."""


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker has ended, and tells what it found."""
    del error
    LEAKS.extend(getattr(node, "workeroutput", {}).get("leaks", ()))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Read everything that the tests have written. A worker only tells; the run fails."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    output = getattr(session.config, "workeroutput", None)
    if factory is not None and not session.config.getoption("collectonly"):
        LEAKS.extend(find_leaks(factory.getbasetemp()))
        forget()
    if output is not None:
        output["leaks"] = list(LEAKS)
    elif LEAKS:
        text = "\n".join(f"LEAK {leak}" for leak in LEAKS[:20])
        raise pytest.UsageError(f"secrets lie in what the tests wrote:\n{text}")

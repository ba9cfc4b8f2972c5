"""Programs of others that are run and asked: OpenClaw, a validator, ourselves."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from pveops.errors import ConfigError


def ask_program(
    words: Sequence[str],
    *,
    timeout_s: float,
    hint: str,
    environ: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run it without input, and give what it said, whatever its exit code.

    Raises ConfigError with the hint when it cannot be run or does not end in time.
    """
    try:
        return subprocess.run(
            list(words),
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        text = f"{words[0]} gave no answer in {timeout_s:.0f} s"
        raise ConfigError(text, hint=hint) from None
    except OSError as error:
        raise ConfigError(f"{words[0]} cannot be run: {error.strerror}", hint=hint) from None

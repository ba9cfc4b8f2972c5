"""Known vulnerabilities among the locked dependencies, as far as they can be looked up.

Runs pip-audit on what the lock file holds. Exits with 1 when it names a vulnerability; when none
can be looked up, as without a network, it says so and exits with 0: unknown is not "none".
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

UV = Path(".cache/uv/bin/uv")
_EXPORT = ("export", "--locked", "--no-dev", "--all-extras", "--no-emit-project", "--quiet")
_AUDIT = ("tool", "run", "--quiet", "pip-audit==2.10.1", "--disable-pip", "--require-hashes")


def main() -> int:
    """Print what was found; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "requirements.txt")
        file.write_bytes(subprocess.run([UV, *_EXPORT], capture_output=True, check=True).stdout)
        words = [UV, *_AUDIT, "--format", "json", "--progress-spinner", "off", "-r", file]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    try:
        rows = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        sys.stdout.write(f"not audited: pip-audit could not run: {last[:200]}\n")
        return 0
    unknown = [row["name"] for row in rows if "skip_reason" in row]
    found = [(row["name"], each["id"]) for row in rows for each in row.get("vulns", ())]
    for name, vulnerability in found:
        sys.stdout.write(f"vulnerable: {name}: {vulnerability}\n")
    looked = len(rows) - len(unknown)
    sys.stdout.write(f"{looked} of {len(rows)} dependencies audited, {len(found)} findings\n")
    if unknown:
        sys.stdout.write(f"not known to the index that was asked: {', '.join(unknown)}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""What a release consists of: wheel, source, bill of materials (CycloneDX), and checksums."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

UV = Path(".cache/uv/bin/uv")
DIST = Path("dist")
_SBOM = (
    "export",
    "--locked",
    "--no-dev",
    "--all-extras",
    "--quiet",
    "--preview-features",
    "sbom-export",
    "--format",
    "cyclonedx1.5",
)


def main() -> int:
    """Build everything anew into `dist/`."""
    shutil.rmtree(DIST, ignore_errors=True)
    subprocess.run([UV, "build", "--quiet", "--out-dir", DIST], check=True)
    sbom = subprocess.run([UV, *_SBOM], capture_output=True, check=True).stdout
    components = json.loads(sbom)["components"]
    Path(DIST, "sbom.cdx.json").write_bytes(sbom)
    files = sorted(path for path in DIST.iterdir() if path.name[0] != ".")
    sums = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files
    )
    Path(DIST, "SHA256SUMS").write_text(sums)
    for path in files:
        sys.stdout.write(f"{path} ({path.stat().st_size} bytes)\n")
    sys.stdout.write(f"{len(components)} components in the bill of materials\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

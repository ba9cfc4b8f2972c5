"""Serve a simulated cluster without the command line: `python -m pveops.sim`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pveops.sim.serve import serve


def main() -> None:
    """Take the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m pveops.sim")
    parser.add_argument("--seed", default="homelab")
    parser.add_argument("--pve-version", default="9.2")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ready-file", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--auth-delay", type=float, default=3.0, help="seconds of a failed login")
    given = parser.parse_args()
    serve(
        given.seed,
        given.pve_version,
        given.port,
        given.ready_file,
        scale=given.scale,
        auth_delay_s=given.auth_delay,
    )


if __name__ == "__main__":
    main()

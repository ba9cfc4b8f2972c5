"""The entry points `pve` and `pve-apply`.

`--version` is answered before anything is imported: scripts and agents ask for it often.
"""

from __future__ import annotations

import sys


def pve() -> int:
    """`pve`: look, plan, and do what needs no consent."""
    return _enter("pve")


def pve_apply() -> int:
    """`pve-apply`: carry out one plan that a person has agreed to."""
    return _enter("pve-apply")


def _enter(program: str) -> int:
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from pveops import __version__

        sys.stdout.write(f"{program} {__version__}\n")
        return 0
    import gc

    # A short life makes little garbage; looking for it often would cost more than the work.
    gc.set_threshold(50_000, 20, 50)
    from pveops.cli.process import run_process

    return run_process(program, arguments)

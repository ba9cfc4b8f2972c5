"""What each exit code of `pve` and `pve-apply` means, for documents and help."""

from __future__ import annotations

from typing import NamedTuple


class ExitCode(NamedTuple):
    """One code."""

    code: int
    meaning: str
    reaction: str


EXIT_CODES: tuple[ExitCode, ...] = (
    ExitCode(0, "done, or already so", "tell what the answer says"),
    ExitCode(1, "a bug of ours", "report it with the output of `pve doctor --json`"),
    ExitCode(2, "usage", "mend the command; `--help` tells how"),
    ExitCode(
        3,
        "consent needed: a plan is stored, nothing was changed",
        "show the plan to a person; `pve-apply PLAN --code CODE` with the person's code",
    ),
    ExitCode(4, "refused by preflight, policy or consent", "do what `next:` says"),
    ExitCode(5, "not found, or ambiguous", "choose from the names in the answer, or ask"),
    ExitCode(6, "access: PVE does not accept who we are or what we may do", "`pve doctor`"),
    ExitCode(7, "configuration, secret, identity or TLS", "`pve doctor`"),
    ExitCode(8, "pending: nothing failed, it goes on", "`pve run wait RUN`"),
    ExitCode(9, "conflict: locked, busy, or the plan is stale", "wait, or ask for it again"),
    ExitCode(10, "a task failed", "read the log that the answer names"),
    ExitCode(11, "partial: some targets are done and some are not", "the answer tells which"),
    ExitCode(12, "unreachable, or no quorum; nothing was changed", "try again later"),
    ExitCode(
        13,
        "outcome unknown: it may have happened",
        "never repeat the command; `pve run resume RUN` looks",
    ),
    ExitCode(14, "rejected by the API", "the answer tells what PVE said"),
    ExitCode(20, "`pve monitor run`: warnings are open", "tell what is new, if anything is"),
    ExitCode(21, "`pve monitor run`: problems are open", "tell what is new, if anything is"),
    ExitCode(130, "interrupted (Ctrl-C)", "`pve run list` shows what was begun"),
    ExitCode(143, "terminated", "`pve run list` shows what was begun"),
)
"""Any other code is a failure."""

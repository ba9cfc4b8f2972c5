"""The classes of causes, by PVE's own words."""

from __future__ import annotations

import pytest

from pveops.operations.backup_causes import find_cause


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("VM is locked (backup)", "lock"),
        ("can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout", "lock"),
        ("can't acquire lock '/var/run/vzdump.lock' - got timeout", "global-lock"),
        ("VM 105 qmp command 'query-backup' failed - got timeout", "timeout"),
        ("VM 105 qmp command 'guest-fsfreeze-freeze' failed - got timeout", "agent"),
        ("vma_queue_write: write error - Broken pipe", "space"),
        ("command 'set -o pipefail && tar ...' failed: No space left on device", "space"),
        (
            "There is a max backup limit of 3 enforced by the target storage or the vzdump "
            "parameters. Either increase the limit or delete old backups.",
            "limit",
        ),
        (
            "The number of protected backups per guest is limited to 5 on storage 'backups'",
            "limit",
        ),
        ("could not activate storage 'nas': storage 'nas' is not online", "storage"),
        (
            "could not get storage information for 'x': can't use storage 'x' for backups - "
            "wrong content type",
            "storage",
        ),
        (
            "Cannot execute a backup with stop mode on a HA managed and enabled Service. Use "
            "snapshot mode or disable the Service.",
            "ha-stop",
        ),
        (
            "command 'qm shutdown 114 --skiplock --keepActive --timeout 600' failed: exit code 1",
            "shutdown",
        ),
        ("snapshot feature is not available", "snapshot"),
        ("unable to find VM '999'", "missing"),
        ("Permission check failed (/vms/101, VM.Backup)", "permission"),
        ("interrupted by signal", "interrupted"),
        ("job failed with err -5 - Input/output error", "io-error"),
        ("the moon is full", "other"),
    ],
)
def test_the_words_of_a_failure_tell_its_class(text: str, code: str) -> None:
    assert find_cause(f"ERROR: Backup of VM 100 failed - {text}").code == code


def test_what_came_before_may_tell_more_than_the_end() -> None:
    line = "ERROR: Backup of VM 100 failed - command 'zstd' failed: exit code 1"
    context = ("INFO: zstd: error 70 : Write error : No space left on device",)
    assert find_cause(line, context).code == "space"

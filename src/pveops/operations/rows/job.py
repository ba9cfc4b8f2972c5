"""Scheduled backups."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.backup import KEEP
from pveops.operations.rows.common import SEE_CLUSTER, reading

_CHANGE = (
    Privilege("/", "Sys.Modify"),
    Privilege("/storage/{storage}", "Datastore.Allocate"),
    *SEE_CLUSTER,
)
_VALUES = (
    Param("schedule", "str", "a calendar event: 21:00, 'mon..fri 22:30', '*/2:00'"),
    Param("storage", "str", "where to", is_configured=True),
    Param("guest", "words", "these guests, and no others; repeat it"),
    Param("all", "bool", "all guests, those to come included", False),
    Param("pool", "str", "the guests of a pool"),
    Param("exclude", "words", "not these, of all; repeat it"),
    Param("node", "str", "only while they are on this node", is_configured=True),
    Param("mode", "str", "snapshot, suspend or stop"),
    Param("compress", "str", "zstd, gzip, lzo or 0"),
    Param("notes", "str", "notes for each backup, with {{guestname}} and the like"),
    Param("comment", "str", "what the job is for"),
    Param("protected", "switch", "protect each backup"),
    Param("repeat_missed", "switch", "make up for runs that the node slept through"),
    Param("keep_all", "bool", "prune nothing", False),
    *KEEP,
)

ROWS: tuple[Operation, ...] = (
    reading(
        "job.list", "backup jobs with their next runs", "pve job list", privileges=SEE_CLUSTER
    ),
    reading(
        "job.show",
        "one backup job, and the guests that it takes",
        "pve job show nightly",
        privileges=SEE_CLUSTER,
    ),
    reading(
        "job.next", "when backup jobs are due next", "pve job next nightly", privileges=SEE_CLUSTER
    ),
    Operation(
        "job.create",
        "schedule backups",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        Targets.OTHER,
        _CHANGE,
        (*_VALUES, Param("disabled", "bool", "make it, and do not let it run yet", False)),
        example="pve job create nightly --schedule 02:00 --storage backups --all --keep-daily 7",
        decides="pveops.operations.job:decide_create",
        reads="pveops.domain.job_facts:read_new_job_facts",
        metavar="JOB",
    ),
    Operation(
        "job.change",
        "change a backup job",
        Tier.DISRUPTIVE,
        Effect.REPEATABLE,
        Targets.OTHER,
        _CHANGE,
        (*_VALUES, Param("unset", "words", "take these options away; repeat it")),
        example="pve job change nightly --schedule 'mon..fri 22:30'",
        decides="pveops.operations.job:decide_change",
        reads="pveops.domain.job_facts:read_job_facts",
        metavar="JOB",
    ),
    Operation(
        "job.enable",
        "let a backup job run",
        Tier.DISRUPTIVE,
        Effect.REPEATABLE,
        Targets.OTHER,
        _CHANGE,
        example="pve job enable nightly",
        decides="pveops.operations.job:decide_switch",
        reads="pveops.domain.job_facts:read_job_facts",
        metavar="JOB",
    ),
    Operation(
        "job.disable",
        "keep a backup job from running",
        Tier.DISRUPTIVE,
        Effect.REPEATABLE,
        Targets.OTHER,
        _CHANGE,
        example="pve job disable nightly",
        decides="pveops.operations.job:decide_switch",
        reads="pveops.domain.job_facts:read_job_facts",
        metavar="JOB",
    ),
)

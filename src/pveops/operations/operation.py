"""What a row of the catalogue says about an operation."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

READ_STATE = "pveops.domain.facts:read_guest_facts"
"""Where facts come from when a row says nothing else."""


class Tier:
    """How much consent an operation needs, before policy raises it."""

    READ = 0
    REVERSIBLE = 1
    DISRUPTIVE = 2
    IRREVERSIBLE = 3


class Effect(StrEnum):
    """What repeating a call would do."""

    READ = "A"
    """Changes nothing."""
    REPEATABLE = "B"
    """Safe to repeat after a fresh look."""
    ONCE = "C"
    """Never sent twice."""


class Targets(StrEnum):
    """What an operation is asked of."""

    NONE = "none"
    ONE = "one"
    GUESTS = "guests"
    """One guest by name, or many by a selector."""
    TASK = "task"
    NODE = "node"
    """A node, and through it guests: `reads` finds out about them all at once."""
    NEW = "new"
    """Guests that do not exist yet: `reads` finds out about them all at once."""
    CLUSTER = "cluster"
    """The cluster as a whole: `reads` finds out what of it is concerned."""
    OTHER = "other"
    """What is no guest, by one name; `reads` finds out about it."""


class Privilege(NamedTuple):
    """A privilege on a path template of PVE's access tree, by its name in PVE 9."""

    path: str
    name: str
    when: str = ""
    """What it is needed for; empty: the operation cannot be done without it."""
    instead: tuple[str, ...] = ()
    """Each of these on the same path does as well."""

    @property
    def names(self) -> tuple[str, ...]:
        """Any one of these is enough; releases of PVE may have one name for two of them."""
        return tuple(dict.fromkeys((self.name, *self.instead)))


class Param(NamedTuple):
    """A parameter of an operation: `--force-after` is `force_after` in a request."""

    name: str
    type: str
    """`int`, `str`, `bool`, `duration` (seconds, or `90s`, `5m`), `age` (`36h`, `7d`), `mib`
    (MiB, or `4G`), `switch` (`on` or `off`), `words` (several, joined by commas), `pairs` (several
    NAME=VALUE, a line each), `text` (`-` reads standard input), `file` (the content of a file, or
    `-`), `argv` (words of a command, quoted)."""
    help: str
    default: object = None
    minimum: int | None = None
    maximum: int | None = None
    kinds: tuple[str, ...] = ("qemu", "lxc")
    is_argument: bool = False
    """Stands behind the guest without a flag, and has to be given."""
    is_required: bool = False
    """Has to be given, with its flag."""
    is_configured: bool = False
    """Names what the cluster's configuration knows, whether or not a node has it just now."""


class Operation(NamedTuple):
    """One row of the catalogue."""

    id: str
    """`noun.verb`; the command is `pve noun verb`."""
    summary: str
    tier: int = Tier.READ
    effect: Effect = Effect.READ
    targets: Targets = Targets.NONE
    privileges: tuple[Privilege, ...] = ()
    params: tuple[Param, ...] = ()
    kinds: tuple[str, ...] = ("qemu", "lxc")
    example: str = ""
    decides: str = ""
    """For changes, where the decision is made: `module:function`, imported when needed. Called
    with the operation's id, the facts about one target, and the parameters."""
    reads: str = READ_STATE
    """For changes, where the facts come from: `module:function`. Called with a client, a guest
    and the scene, once a guest; for `Targets.NEW` with client and scene, once."""
    checks: str = ""
    """What has to be looked at for all targets together: `module:function`, pure. Called with the
    facts about all of them, it gives findings."""
    is_many: bool = False
    """For `Targets.OTHER`: several names may be given."""
    is_sequential: bool = False
    """One target after the other, since each loads storage or locks something shared."""
    is_one_per_node: bool = False
    """One target of a node after the other, while other nodes work on theirs."""
    metavar: str = "GUEST"
    """What its one target is called in the help."""
    in_flight: int = 0
    """At most so many targets at once; 0: as many as the pool takes."""
    watch: str = ""
    """Who looks at the cluster between targets: `module:function`, called with a client and the
    plan, gives an `engine.course.Watch`. With one, the run stops at the first anomaly."""
    consented_s: int = 0
    """How long after its beginning a run may be resumed, whatever the plan's own expiry."""
    leaves_all: bool = False
    """Leaves everything as it was, or one thing more: that nothing takes it back alarms nobody
    who should be."""
    second_word: str = ""
    """The parameter that a second name may have been meant for."""
    since: str = "7.4"

    @property
    def command(self) -> str:
        """The words after `pve`."""
        return self.id.replace(".", " ")

    @property
    def is_change(self) -> bool:
        """Whether it can change anything in the cluster."""
        return self.effect is not Effect.READ

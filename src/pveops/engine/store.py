"""What has to survive the process: plans, consents, runs, their journal, and locks.

One SQLite file in WAL mode, shared by all processes of an account. Every writing function is
one transaction, on disk (`synchronous=FULL`) when it returns.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pveops.errors import NotFoundError, StoreError

_BUSY_MS = 10_000
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE plans (
    id TEXT PRIMARY KEY, json BLOB NOT NULL, hash TEXT NOT NULL, operation TEXT NOT NULL,
    created INTEGER NOT NULL, expires INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'claimed', 'cancelled')), run TEXT);
CREATE TABLE consents (
    plan TEXT PRIMARY KEY REFERENCES plans (id), plan_hash TEXT NOT NULL, salt BLOB NOT NULL,
    code_hash BLOB NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL,
    tries_left INTEGER NOT NULL, sent INTEGER NOT NULL, spent_at INTEGER);
CREATE TABLE runs (
    id TEXT PRIMARY KEY, plan TEXT NOT NULL REFERENCES plans (id), state TEXT NOT NULL,
    consent TEXT NOT NULL, created INTEGER NOT NULL, ended INTEGER, pid INTEGER NOT NULL,
    pid_started TEXT NOT NULL, host TEXT NOT NULL, receipt BLOB);
CREATE TABLE journal (
    run TEXT NOT NULL REFERENCES runs (id), seq INTEGER NOT NULL, item INTEGER NOT NULL,
    kind TEXT NOT NULL, at REAL NOT NULL, data BLOB NOT NULL, PRIMARY KEY (run, seq));
CREATE TABLE locks (key TEXT PRIMARY KEY, run TEXT NOT NULL, taken INTEGER NOT NULL);
CREATE TABLE facts (key TEXT PRIMARY KEY, value BLOB NOT NULL, at INTEGER NOT NULL);
"""


_AS_IT_WAS = "WHERE id = ? AND state = ? AND pid = ? AND pid_started = ? AND host = ?"
"""For what must not have been taken in hand by another process since it was read."""


class PlanRow(NamedTuple):
    """A stored plan. `json` is the canonical JSON that `hash` was made of."""

    id: str
    json: bytes
    hash: str
    operation: str
    created: int
    expires: int
    state: str
    """`open`, `claimed` (a run was made of it), or `cancelled`."""
    run: str | None


class ConsentRow(NamedTuple):
    """The code that was sent for one plan, as a salted hash."""

    plan: str
    plan_hash: str
    salt: bytes
    code_hash: bytes
    created: int
    expires: int
    tries_left: int
    sent: int
    """How many codes were sent for this plan so far."""
    spent_at: int | None


class RunRow(NamedTuple):
    """One execution of a plan, and the process that carries it."""

    id: str
    plan: str
    state: str
    """`running`, `ended`, or `closed` (a person has ended it for good); a running one whose
    process is gone waits for `pve run resume`."""
    consent: str
    created: int
    ended: int | None
    pid: int
    pid_started: str
    host: str
    receipt: bytes | None


def _as_it_was(run: RunRow) -> tuple[object, ...]:
    return run.id, run.state, run.pid, run.pid_started, run.host


class Count(NamedTuple):
    """How many runs of a kind there were when it was decided to make one more."""

    consent: str
    since: float
    operation: str
    """Empty: whatever they did."""
    number: int


class Entry(NamedTuple):
    """One line of a run's journal."""

    seq: int
    item: int
    kind: str
    at: float
    data: dict[str, Any]


class StoreHealth(NamedTuple):
    """How the file is."""

    problem: str
    """What SQLite's own check finds; empty: nothing."""
    size_bytes: int
    schema_version: int


class Store:
    """The SQLite file. Safe to use from several threads and processes.

    Raises StoreError when the file cannot be opened, read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._migrate()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"the store {path} cannot be opened: {error}",
                hint="check the file's owner, mode and free space with `pve doctor`",
            ) from error
        import threading

        self._lock = threading.RLock()

    @property
    def folder(self) -> Path:
        """Where the file lies."""
        return self._path.parent

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def examine(self) -> StoreHealth:
        """Let SQLite check the whole file; takes as long as reading it does."""
        said = "; ".join(str(row[0]) for row in self._all("PRAGMA quick_check(3)"))
        pages, size = self._one("PRAGMA page_count")[0], self._one("PRAGMA page_size")[0]
        return StoreHealth(
            "" if said == "ok" else said, pages * size, self._one("PRAGMA user_version")[0]
        )

    # -- plans ---------------------------------------------------------------

    def add_plan(self, row: PlanRow) -> None:
        """Keep a new plan."""
        with self._transaction() as db:
            db.execute("INSERT INTO plans VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def get_plan(self, plan_id: str) -> PlanRow:
        """The plan of that id. Raises NotFoundError."""
        row = self._one("SELECT * FROM plans WHERE id = ?", plan_id)
        if row is None:
            raise NotFoundError(f"there is no plan {plan_id!r}", hint="pve plan list")
        # Whoever edits the file by hand may leave text where bytes were; the hash tells.
        return PlanRow(
            row[0], row[1] if isinstance(row[1], bytes) else str(row[1]).encode(), *row[2:]
        )

    def list_plans(self, limit: int = 50) -> tuple[PlanRow, ...]:
        """The newest plans first."""
        rows = self._all("SELECT * FROM plans ORDER BY created DESC, id LIMIT ?", limit)
        return tuple(PlanRow(*row) for row in rows)

    def list_open_plans(self, now: float) -> tuple[PlanRow, ...]:
        """Those that could still be applied, the one that expires first at first."""
        sql = "SELECT * FROM plans WHERE state = 'open' AND expires > ? ORDER BY expires, id"
        return tuple(PlanRow(*row) for row in self._all(sql, int(now)))

    def cancel_plan(self, plan_id: str) -> bool:
        """Whether the plan was open and is cancelled now."""
        with self._transaction() as db:
            cursor = db.execute(
                "UPDATE plans SET state = 'cancelled' WHERE id = ? AND state = 'open'", (plan_id,)
            )
            return cursor.rowcount == 1

    # -- consents ------------------------------------------------------------

    def put_consent(self, row: ConsentRow, since: float, most: int) -> bool:
        """Keep the hash of a new code; the one before it stops being valid.

        False: with this one, more than `most` would have gone out since then.
        """
        with self._transaction() as db:
            sql = "SELECT COALESCE(SUM(sent), 0) FROM consents WHERE created >= ? AND plan <> ?"
            others = int(db.execute(sql, (int(since), row.plan)).fetchone()[0])
            if others + row.sent > most:
                return False
            db.execute("INSERT OR REPLACE INTO consents VALUES (?,?,?,?,?,?,?,?,?)", row)
            return True

    def find_consent(self, plan_id: str) -> ConsentRow | None:
        """What is known of the code for a plan."""
        row = self._one("SELECT * FROM consents WHERE plan = ?", plan_id)
        return ConsentRow(*row) if row else None

    def take_try(self, plan_id: str) -> bool:
        """Count one try at a code before looking at it. False: none was left."""
        with self._transaction() as db:
            cursor = db.execute(
                "UPDATE consents SET tries_left = tries_left - 1 "
                "WHERE plan = ? AND tries_left > 0 AND spent_at IS NULL",
                (plan_id,),
            )
            return cursor.rowcount == 1

    def give_try_back(self, plan_id: str) -> None:
        """For a code that was right, while something else stood in the way."""
        with self._transaction() as db:
            db.execute(
                "UPDATE consents SET tries_left = tries_left + 1 "
                "WHERE plan = ? AND spent_at IS NULL",
                (plan_id,),
            )

    # -- runs ----------------------------------------------------------------

    def claim(
        self,
        run: RunRow,
        lock_keys: tuple[str, ...],
        spends_consent: bool,
        count: Count | None = None,
    ) -> str | None:
        """Make a run of an open plan: plan, consent and locks in one transaction, or nothing.

        count: what was counted when it was decided that this may be done.
        Returns None when the run was made, else why not: `plan` (it is not open any more),
        `consent` (spent already), `count` (there are more runs by now), or `lock:KEY:RUN`.
        """
        with self._transaction() as db:
            cursor = db.execute(
                "UPDATE plans SET state = 'claimed', run = ? WHERE id = ? AND state = 'open'",
                (run.id, run.plan),
            )
            if cursor.rowcount != 1:
                return "plan"
            if count and self.count_runs(*count[:3]).number > count.number:
                db.execute("ROLLBACK TO attempt")
                return "count"
            obstacle = self._spend(db, run, spends_consent) or self._take_locks(db, run, lock_keys)
            if obstacle:
                db.execute("ROLLBACK TO attempt")
                return obstacle
            db.execute("INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?,?)", run)
            return None

    @staticmethod
    def _spend(db: sqlite3.Connection, run: RunRow, spends_consent: bool) -> str | None:
        if not spends_consent:
            return None
        cursor = db.execute(
            "UPDATE consents SET spent_at = ? WHERE plan = ? AND spent_at IS NULL",
            (run.created, run.plan),
        )
        return None if cursor.rowcount == 1 else "consent"

    @staticmethod
    def _take_locks(db: sqlite3.Connection, run: RunRow, keys: tuple[str, ...]) -> str | None:
        for key in sorted(keys):
            held = db.execute("SELECT run FROM locks WHERE key = ?", (key,)).fetchone()
            if held:
                return f"lock:{key}:{held[0]}"
            db.execute("INSERT INTO locks VALUES (?, ?, ?)", (key, run.id, run.created))
        return None

    def adopt_run(self, dead: RunRow, heir: RunRow) -> bool:
        """Hand a running run of a dead process to this one. False: somebody else was faster."""
        with self._transaction() as db:
            cursor = db.execute(
                f"UPDATE runs SET pid = ?, pid_started = ?, host = ? {_AS_IT_WAS}",  # noqa: S608 - constants
                (*(heir.pid, heir.pid_started, heir.host), *_as_it_was(dead)),
            )
            return cursor.rowcount == 1

    def count_runs(self, consent: str, since: float, operation: str = "") -> Count:
        """How many runs with this kind of consent have begun since then.

        operation: of this one only.
        """
        sql = (
            "SELECT COUNT(*) FROM runs JOIN plans ON plans.id = runs.plan "
            "WHERE runs.consent = ? AND runs.created >= ? AND ? IN ('', plans.operation)"
        )
        number = int(self._one(sql, consent, int(since), operation)[0])
        return Count(consent, since, operation, number)

    def get_run(self, run_id: str) -> RunRow:
        """The run of that id. Raises NotFoundError."""
        row = self._one("SELECT * FROM runs WHERE id = ?", run_id)
        if row is None:
            raise NotFoundError(f"there is no run {run_id!r}", hint="pve run list")
        return RunRow(*row)

    def list_runs(self, limit: int = 50) -> tuple[RunRow, ...]:
        """The newest runs first."""
        rows = self._all("SELECT * FROM runs ORDER BY created DESC, id LIMIT ?", limit)
        return tuple(RunRow(*row) for row in rows)

    def list_open_runs(self) -> tuple[RunRow, ...]:
        """Every run that has not ended, or that ended and still locks a target; oldest first."""
        rows = self._all(
            "SELECT * FROM runs WHERE state = 'running' "
            "OR (state = 'ended' AND id IN (SELECT run FROM locks)) ORDER BY created, id"
        )
        return tuple(RunRow(*row) for row in rows)

    def list_runs_of(self, operations: tuple[str, ...]) -> tuple[RunRow, ...]:
        """Every run of a plan of these operations, the oldest first."""
        marks = ",".join("?" * len(operations))
        rows = self._all(
            "SELECT runs.* FROM runs JOIN plans ON plans.id = runs.plan "  # noqa: S608 - marks only
            f"WHERE plans.operation IN ({marks}) ORDER BY runs.created, runs.rowid",
            *operations,
        )
        return tuple(RunRow(*row) for row in rows)

    def end_run(self, run_id: str, receipt: bytes, now: float, *, keep_locks: bool) -> None:
        """Close a run with its receipt; locks stay where an outcome is unknown."""
        with self._transaction() as db:
            db.execute(
                "UPDATE runs SET state = IIF(state = 'closed', 'closed', 'ended'), ended = ?, "
                "receipt = ? WHERE id = ?",
                (int(now), receipt, run_id),
            )
            if not keep_locks:
                db.execute("DELETE FROM locks WHERE run = ?", (run_id,))

    def find_lock(self, key: str) -> str | None:
        """The run that works on a target; None: no run does."""
        held = self._one("SELECT run FROM locks WHERE key = ?", key)
        return str(held[0]) if held else None

    def close_run(self, run: RunRow, now: float) -> int | None:
        """End a run for good, and let other runs work on its targets.

        Gives the number of targets that it had locked; None when it is not as `run` tells any
        more.
        """
        with self._transaction() as db:
            cursor = db.execute(
                f"UPDATE runs SET state = 'closed', ended = COALESCE(ended, ?) {_AS_IT_WAS}",  # noqa: S608 - constants
                (int(now), *_as_it_was(run)),
            )
            if cursor.rowcount != 1:
                return None
            # A target is locked once for every fingerprint of its cluster.
            sql = "SELECT COUNT(DISTINCT substr(key, instr(key, '/'))) FROM locks WHERE run = ?"
            (count,) = db.execute(sql, (run.id,)).fetchone()
            db.execute("DELETE FROM locks WHERE run = ?", (run.id,))
            return int(count)

    def reopen_run(self, run: RunRow, lock_keys: tuple[str, ...]) -> str | None:
        """Let an ended run go on with these targets, which it locks again where it let them go.

        Returns None, `lock:KEY:RUN` when another run works on one of them, or `run` when it is not
        as `run` tells any more.
        """
        with self._transaction() as db:
            cursor = db.execute(
                f"UPDATE runs SET state = 'running' {_AS_IT_WAS}",  # noqa: S608 - constants
                _as_it_was(run),
            )
            if cursor.rowcount != 1:
                return "run"
            sql = "SELECT key FROM locks WHERE run = ?"
            own = {key for (key,) in db.execute(sql, (run.id,))}
            free = tuple(key for key in lock_keys if key not in own)
            obstacle = self._take_locks(db, run, free)
            if obstacle:
                db.execute("ROLLBACK TO attempt")
            return obstacle

    # -- journal -------------------------------------------------------------

    def write_entry(self, run_id: str, item: int, kind: str, at: float, data: object) -> None:
        """Append one line to a run's journal; on disk when this returns."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO journal SELECT ?, COALESCE(MAX(seq), 0) + 1, ?, ?, ?, ? "
                "FROM journal WHERE run = ?",
                (run_id, item, kind, at, msgspec.json.encode(data), run_id),
            )

    def read_entries(self, run_id: str) -> tuple[Entry, ...]:
        """A run's journal in order."""
        rows = self._all(
            "SELECT seq, item, kind, at, data FROM journal WHERE run = ? ORDER BY seq", run_id
        )
        return tuple(
            Entry(seq, item, kind, at, msgspec.json.decode(data))
            for seq, item, kind, at, data in rows
        )

    def known_upids(self) -> frozenset[str]:
        """The tasks that calls were answered with: none of them can be one whose answer is lost.

        Those of other steps of the same run count: several deletions look alike in PVE's lists.
        """
        rows = self._all("SELECT data FROM journal WHERE kind = 'answer'")
        return frozenset(str(msgspec.json.decode(data).get("upid", "")) for (data,) in rows)

    # -- facts about the cluster that rarely change -----------------------------

    def remember(self, key: str, value: object, now: float) -> None:
        """Keep a small fact, such as the last good endpoint."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)",
                (key, msgspec.json.encode(value), int(now)),
            )

    def recall(self, key: str) -> Any:
        """A fact that was kept, or None."""
        row = self._one("SELECT value FROM facts WHERE key = ?", key)
        return msgspec.json.decode(row[0]) if row else None

    def revise(self, key: str, change: Callable[[Any], Any], now: float) -> None:
        """Read a fact, change it and keep it, with no other process in between."""
        with self._transaction() as db:
            row = db.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
            value = change(msgspec.json.decode(row[0]) if row else None)
            db.execute(
                "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)",
                (key, msgspec.json.encode(value), int(now)),
            )

    # -- below -----------------------------------------------------------------

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == _SCHEMA_VERSION:
            return
        if version > _SCHEMA_VERSION:
            raise StoreError(
                f"the store {self._path} was written by a newer pveops",
                hint="upgrade pveops on this machine",
            )
        self._db.execute("BEGIN IMMEDIATE")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        self._db.execute("COMMIT")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("SAVEPOINT attempt")
                try:
                    yield self._db
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"the store {self._path} cannot be written: {error}") from error

    def _one(self, sql: str, *arguments: object) -> Any:
        rows = self._all(sql, *arguments)
        return rows[0] if rows else None

    def _all(self, sql: str, *arguments: object) -> list[Any]:
        try:
            with self._lock:
                return self._db.execute(sql, arguments).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"the store {self._path} cannot be read: {error}") from error

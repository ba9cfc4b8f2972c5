"""The life of an alert: told once, worse once, over once, and never by guess."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pveops.monitor.alerts import Alert, News, Rules, Seen, Silence, advance
from pveops.operations.findings import Finding, Severity

RULES = Rules(raise_after_s=60, clear_after_s=120, slow_to_raise={}, slow_to_clear={})
LOCKED = Finding("guest.locked", "warn", "vm/101", "web01 is locked (backup)")
NEARLY = Finding("storage.nearly-full", "warn", "storage/pve1/local", "local is 90% full")
FULL = Finding("storage.full", "block", "storage/pve1/local", "local is 97% full")


class Watch:
    """Looks one after the other."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.alerts: tuple[Alert, ...] = ()
        self.silences: tuple[Silence, ...] = ()
        self._rules = rules

    def look(
        self,
        at: int,
        *findings: Finding,
        held: tuple[Finding, ...] = (),
        unseen: tuple[tuple[str, str], ...] = (),
        filtered: tuple[tuple[str, frozenset[str]], ...] = (),
    ) -> list[str]:
        """`kind code` of everything that is told."""
        self.alerts, news = advance(
            self.alerts, Seen(at, findings, held, unseen, filtered), self._rules, self.silences
        )
        return [f"{each.kind} {each.alert.code}" for each in news]


def test_what_lasts_is_told_once_and_what_is_over_once() -> None:
    watch = Watch()
    told = [watch.look(at, LOCKED) for at in (0, 30, 60, 90, 120)]
    assert told == [[], [], ["raised guest.locked"], [], []]
    told = [watch.look(at) for at in (150, 200, 270, 330)]
    assert told == [[], [], ["cleared guest.locked"], []]
    assert watch.alerts == ()


def test_what_was_there_for_a_moment_is_never_told() -> None:
    watch = Watch()
    assert watch.look(0, LOCKED) == []
    assert [watch.look(at) for at in (30, 200, 400)] == [[], [], []]
    assert watch.alerts == ()


def test_what_keeps_things_from_working_is_told_at_once() -> None:
    assert Watch().look(0, FULL) == ["raised storage.full"]


def test_growing_worse_is_told_and_growing_better_is_not() -> None:
    watch = Watch()
    watch.look(0, NEARLY)
    assert watch.look(60, NEARLY) == ["raised storage.nearly-full"]
    assert watch.look(120, FULL) == ["worse storage.full"]
    assert watch.look(180, NEARLY) == []
    assert watch.look(240, FULL) == []
    assert len(watch.alerts) == 1


def test_around_a_limit_nothing_flaps() -> None:
    watch = Watch()
    watch.look(0, NEARLY)
    watch.look(60, NEARLY)
    told = [watch.look(at, held=(NEARLY,)) for at in range(120, 1200, 60)]
    told += [watch.look(at, NEARLY) for at in range(1200, 1800, 60)]
    assert not any(told)
    assert Watch().look(0, held=(NEARLY,)) == []


def test_what_nobody_could_look_at_is_not_over() -> None:
    watch = Watch()
    watch.look(0, LOCKED)
    watch.look(60, LOCKED)
    blind = (("guest.*", "vm/101"),)
    assert not any(watch.look(at, unseen=blind) for at in range(120, 3600, 60))
    assert watch.look(3600) == []
    assert watch.look(3720) == ["cleared guest.locked"]


def test_what_nobody_could_look_at_is_not_told_either() -> None:
    watch = Watch()
    watch.look(0, LOCKED)
    blind = (("guest.*", "vm/101"),)
    assert not any(watch.look(at, unseen=blind) for at in range(60, 600, 60))
    assert watch.look(600, LOCKED) == ["raised guest.locked"]


def test_what_a_filtered_list_leaves_out_is_over_after_a_day() -> None:
    watch = Watch()
    watch.look(0, LOCKED)
    watch.look(60, LOCKED)
    others = (("guest.*", frozenset({"vm/102"})),)
    assert not any(watch.look(at, filtered=others) for at in range(120, 86_400, 3600))
    assert [watch.look(at, filtered=others) for at in (86_600, 86_800)] == [
        [],
        ["cleared guest.locked"],
    ]


def test_a_family_that_is_slow_to_raise_and_to_clear_is() -> None:
    watch = Watch(
        Rules(60, 60, slow_to_raise={"guest.locked": 600}, slow_to_clear={"guest.locked": 300})
    )
    told = [watch.look(at, LOCKED) for at in (0, 120, 600)]
    assert told == [[], [], ["raised guest.locked"]]
    assert [watch.look(at) for at in (700, 900, 1000)] == [[], [], ["cleared guest.locked"]]


def test_a_changed_text_is_no_news() -> None:
    watch = Watch()
    updates = [
        Finding("node.updates", "info", "node/pve1", f"{count} packages wait for an update")
        for count in range(30)
    ]
    told = [watch.look(60 * at, each) for at, each in enumerate(updates)]
    assert [each for each in told if each] == [["raised node.updates"]]
    assert watch.alerts[0].message == "29 packages wait for an update"


def test_thousands_of_unseen_guests_are_looked_through_by_name() -> None:
    watch = Watch()
    guests = [Finding("guest.paused", "warn", f"vm/{vmid}", "paused") for vmid in range(3000)]
    watch.look(0, *guests)
    watch.look(60, *guests)
    unseen = tuple(("guest.*", f"vm/{vmid}") for vmid in range(3000))
    assert watch.look(120, unseen=unseen) == []
    assert len(watch.alerts) == 3000


def test_a_silence_keeps_quiet_and_forgets_nothing() -> None:
    watch = Watch()
    watch.silences = (Silence("storage.*", 1000),)
    assert [watch.look(at, FULL) for at in (0, 500)] == [[], []]
    assert watch.look(1000, FULL) == ["raised storage.full"]
    watch.silences = (Silence("vm/101", 9000),)
    assert not any(watch.look(at, FULL, LOCKED) for at in (2000, 3000))
    assert not any(watch.look(at, FULL) for at in (4000, 5000))
    assert watch.look(9500, FULL, LOCKED) == []


FINDINGS = st.builds(
    lambda code, severity, vmid: Finding(code, severity, f"vm/{vmid}", "text"),
    st.sampled_from(["guest.locked", "guest.halted", "guest.paused"]),
    st.sampled_from(["info", "warn", "block"]),
    st.integers(101, 103),
)
LOOKS = st.lists(
    st.tuples(
        st.integers(1, 200),
        st.lists(FINDINGS, max_size=4),
        st.sampled_from([(), (("*", "*"),), (("guest.*", "vm/101"),)]),
    ),
    max_size=30,
)
_RANK: dict[Severity, int] = {"info": 0, "warn": 1, "block": 2}


@given(LOOKS)
def test_no_history_tells_the_same_twice(
    looks: list[tuple[int, list[Finding], tuple[tuple[str, str], ...]]],
) -> None:
    alerts: tuple[Alert, ...] = ()
    open_: dict[str, News] = {}
    at = 0
    for pause, findings, unseen in looks:
        at += pause
        alerts, news = advance(alerts, Seen(at, tuple(findings), unseen=unseen), RULES)
        assert max(Counter(each.alert.id for each in news).values(), default=0) <= 1
        for each in news:
            before = open_.pop(each.alert.id, None)
            if each.kind == "raised":
                assert before is None
            else:
                assert before is not None
            if each.kind == "worse" and before is not None:
                assert _RANK[each.alert.severity] > _RANK[before.alert.severity]
            if each.kind != "cleared":
                open_[each.alert.id] = each
        assert {alert.id for alert in alerts if alert.is_active} == set(open_)
        assert len({alert.id for alert in alerts}) == len(alerts)

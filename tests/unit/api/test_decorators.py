"""What is wrapped around a transport."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pveops.api.decorators import Failover, ReadOnly, Recording, RetryReads, Trace
from pveops.api.port import Request, Response
from pveops.clock import VirtualClock
from pveops.errors import (
    NodeUnreachableError,
    OutcomeUnknownError,
    PveopsError,
    TlsError,
    UnreachableError,
    WriteNotAllowedError,
)

GET = Request("GET", "/nodes", (("type", "vm"),))
POST = Request("POST", "/access/users", (("password", "hush"),), (("Cookie", "hush"),))
OK = Response(200, "OK", {}, b'{"data":1}', "pve1:8006")
DOWN = Response(595, "No route to host", {}, b"")

Outcome = Response | PveopsError


class Scripted:
    """A transport that gives the outcomes it was told, the last one for ever."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.seen: list[Request] = []

    def send(self, request: Request) -> Response:
        self.seen.append(request)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, PveopsError):
            raise outcome
        return outcome

    def close(self) -> None:
        pass


def unsent() -> UnreachableError:
    return UnreachableError("refused", details={"sent": False})


def unanswered() -> UnreachableError:
    return UnreachableError("no answer", details={"sent": True})


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "get"])
def test_a_read_only_transport_sends_nothing_but_get(method: str) -> None:
    inner = Scripted(OK)
    with pytest.raises(WriteNotAllowedError):
        ReadOnly(inner).send(Request(method, "/version"))
    assert inner.seen == []
    assert ReadOnly(inner).send(GET) == OK


def test_a_trace_tells_names_and_never_values(clock: VirtualClock) -> None:
    lines: list[str] = []
    Trace(Scripted(OK), clock, lines.append).send(POST)
    assert lines == ["POST /access/users (password): 200, 0 ms, 10 B, pve1:8006"]


def test_a_trace_tells_failures_too(clock: VirtualClock) -> None:
    lines: list[str] = []
    with pytest.raises(UnreachableError):
        Trace(Scripted(unsent()), clock, lines.append).send(GET)
    assert lines == ["GET /nodes (type): E_UNREACHABLE after 0 ms: refused"]


def test_a_recording_keeps_requests_with_outcomes_and_without_credentials() -> None:
    lost = OutcomeUnknownError("lost")
    recording = Recording(Scripted(OK, lost))
    recording.send(GET)
    with pytest.raises(OutcomeUnknownError):
        recording.send(POST)
    assert recording.count == 2
    assert [each.outcome for each in recording.exchanges] == [OK, lost]
    assert recording.writes == [POST._replace(headers=())]


def retrying(clock: VirtualClock, inner: Scripted, jitter: float = 1.0) -> RetryReads:
    return RetryReads(inner, clock, lambda: jitter, budget_s=4.0)


@pytest.mark.parametrize("failure", [unsent(), unanswered(), Response(596, "", {}, b"")])
def test_a_read_is_repeated_until_it_succeeds(clock: VirtualClock, failure: Outcome) -> None:
    inner = Scripted(failure, failure, OK)
    assert retrying(clock, inner).send(GET) == OK
    assert clock.monotonic() == pytest.approx(0.2 + 0.4)


def test_a_read_is_repeated_within_its_budget_only(clock: VirtualClock) -> None:
    inner = Scripted(unsent())
    with pytest.raises(UnreachableError):
        retrying(clock, inner).send(GET)
    assert 2.0 < clock.monotonic() <= 4.0
    assert len(inner.seen) == 5


def test_the_pauses_are_spread(clock: VirtualClock) -> None:
    inner = Scripted(unsent(), OK)
    retrying(clock, inner, jitter=0.0).send(GET)
    assert clock.monotonic() == pytest.approx(0.1)


@pytest.mark.parametrize("failure", [unsent(), OutcomeUnknownError("lost"), DOWN])
def test_a_write_is_sent_once(clock: VirtualClock, failure: Outcome) -> None:
    inner = Scripted(failure, OK)
    if isinstance(failure, PveopsError):
        with pytest.raises(type(failure)):
            retrying(clock, inner).send(POST)
    else:
        assert retrying(clock, inner).send(POST) == failure
    assert len(inner.seen) == 1


@pytest.mark.parametrize("final", [TlsError("other"), DOWN, Response(500, "locked", {}, b"")])
def test_what_repeating_cannot_mend_is_not_repeated(clock: VirtualClock, final: Outcome) -> None:
    inner = Scripted(final, OK)
    if isinstance(final, PveopsError):
        with pytest.raises(TlsError):
            retrying(clock, inner).send(GET)
    else:
        assert retrying(clock, inner).send(GET) == final
    assert len(inner.seen) == 1


Make = Callable[..., Failover]


@pytest.fixture
def make(clock: VirtualClock) -> Make:
    def make(*inner: Scripted, last_good: str = "", told: list[str] | None = None) -> Failover:
        names = [(f"pve{number}", each) for number, each in enumerate(inner, 1)]
        remember = told.append if told is not None else None
        return Failover(names, clock, last_good=last_good, remember=remember)

    return make


@pytest.mark.parametrize("request_", [GET, POST])
@pytest.mark.parametrize("failure", [unsent(), TlsError("other")])
def test_any_method_moves_on_before_a_byte_was_sent(
    make: Make, request_: Request, failure: PveopsError
) -> None:
    first, second = Scripted(failure), Scripted(OK)
    assert make(first, second).send(request_) == OK


def test_a_read_moves_on_after_a_lost_answer(make: Make) -> None:
    assert make(Scripted(unanswered()), Scripted(OK)).send(GET) == OK


def test_a_write_does_not_move_on_after_a_lost_answer(make: Make) -> None:
    second = Scripted(OK)
    with pytest.raises(OutcomeUnknownError):
        make(Scripted(OutcomeUnknownError("lost", details={"sent": True})), second).send(POST)
    assert second.seen == []


@pytest.mark.parametrize("request_", [GET, POST])
def test_a_595_is_tried_at_one_other_endpoint(make: Make, request_: Request) -> None:
    """Nothing was executed; but a node that is down is down from everywhere."""
    assert make(Scripted(DOWN), Scripted(OK)).send(request_) == OK
    third = Scripted(OK)
    assert make(Scripted(DOWN), Scripted(DOWN), third).send(request_) == DOWN
    assert third.seen == []


def test_the_last_good_endpoint_is_asked_first_and_remembered(make: Make) -> None:
    told: list[str] = []
    first, second = Scripted(unsent(), OK), Scripted(OK)
    failover = make(first, second, told=told)
    failover.send(GET)
    failover.send(GET)
    assert (len(first.seen), len(second.seen), told) == (1, 2, ["pve2"])
    again = make(first, second, last_good="pve2")
    again.send(GET)
    assert len(first.seen) == 1


def test_an_endpoint_that_failed_rests_and_comes_back(make: Make, clock: VirtualClock) -> None:
    first, second = Scripted(unsent(), OK), Scripted(OK, unsent(), OK)
    failover = make(first, second)
    failover.send(GET)
    clock.sleep(2)
    assert failover.send(GET) == OK
    assert len(first.seen) == 2


def test_when_nobody_answers_all_are_named(make: Make) -> None:
    with pytest.raises(UnreachableError) as caught:
        make(Scripted(unsent()), Scripted(unsent())).send(POST)
    assert caught.value.details["sent"] is False
    assert type(caught.value) is not NodeUnreachableError


def test_distrust_is_told_before_silence(make: Make) -> None:
    with pytest.raises(TlsError):
        make(Scripted(unsent()), Scripted(TlsError("other")), Scripted(unsent())).send(GET)

"""Answers become data or errors. The texts are those of PVE's sources and of real answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pveops.api.classify import decode, is_harmless_json
from pveops.api.port import Request, Response
from pveops.errors import (
    AuthenticationError,
    BusyError,
    ConflictError,
    DigestError,
    ExistsError,
    GuestStateError,
    LockedError,
    NodeUnreachableError,
    NoQuorumError,
    NotFoundError,
    NotImplementedByServerError,
    OutcomeUnknownError,
    ParameterError,
    PermissionDeniedError,
    ProtocolError,
    PveopsError,
    RejectedError,
    RootOnlyError,
    UnreachableError,
)
from pveops.sanitize import sanitize_value

GET = Request("GET", "/nodes/pve1/qemu/100/config")
POST = Request("POST", "/nodes/pve1/qemu/100/status/stop")


def answer(status: int, reason: str = "", body: Any = b"") -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, reason, {"content-type": "application/json"}, raw, "pve1:8006")


def refused(request: Request, response: Response) -> PveopsError:
    with pytest.raises(PveopsError) as caught:
        decode(request, response)
    return caught.value


HANDLER_TEXTS: list[tuple[str, type[PveopsError], dict[str, str]]] = [
    ("VM is locked (backup)", LockedError, {"lock": "backup"}),
    ("VM 100 is locked (snapshot-delete)", LockedError, {"lock": "snapshot-delete"}),
    ("CT is locked (mounted)", LockedError, {"lock": "mounted"}),
    (
        "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout",
        BusyError,
        {"file": "/var/lock/qemu-server/lock-100.conf"},
    ),
    ("Failed to obtain guest migration lock - replication running?", BusyError, {}),
    ("cfs-lock 'storage-nfs1' error: got lock request timeout", BusyError, {}),
    (
        "error during cfs-locked 'file-user_cfg' operation: got lock request timeout",
        BusyError,
        {},
    ),
    ("cfs-lock 'file-user_cfg' error: no quorum!", NoQuorumError, {}),
    ("cluster not ready - no quorum?", NoQuorumError, {}),
    ("unable to open file '/etc/pve/x' - no quorum - unable to update files", NoQuorumError, {}),
    (
        "detected modified configuration - file changed by other user? Try again.",
        DigestError,
        {},
    ),
    ("checksum mismatch (file change by other user?)", DigestError, {}),
    ("only root can set 'args' config", RootOnlyError, {}),
    (
        "changing feature flags (except nesting) is only allowed for root@pam",
        RootOnlyError,
        {},
    ),
    ("unable to create VM 100 - VM 100 already exists on node 'pve1'", ExistsError, {}),
    ("unable to create VM 110: config file already exists", ExistsError, {}),
    ("create resource failed: resource ID 'vm:100' already defined", ExistsError, {}),
    ("VM 100 not running", GuestStateError, {}),
    ("VM 100 is not running", GuestStateError, {}),
    ("CT 200 already running", GuestStateError, {}),
    ("VM 100 is running - destroy failed", GuestStateError, {}),
    ("unable to destroy CT 200 - container is running", GuestStateError, {}),
    ("you can't convert VM to template if VM is running", GuestStateError, {}),
    ("QEMU guest agent is not running", GuestStateError, {}),
    ("No QEMU guest agent configured", GuestStateError, {}),
    ("storage 'nfs1' is not online", ConflictError, {"storage": "nfs1"}),
    ("storage 'nfs1' is not available on node 'pve2'", ConflictError, {"storage": "nfs1"}),
    (
        "unable to activate storage 'nfs1' - directory '/mnt/pve/nfs1' does not exist"
        " or is unreachable",
        ConflictError,
        {},
    ),
    (
        "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist",
        NotFoundError,
        {"node": "pve1", "vmid": "999"},
    ),
    (
        "unable to find configuration file for VM 999 on node 'pve1'",
        NotFoundError,
        {"vmid": "999", "node": "pve1"},
    ),
    (
        "hostname lookup 'nosuch' failed - failed to get address info for: nosuch:"
        " Name or service not known",
        NotFoundError,
        {"node": "nosuch"},
    ),
    ("no such cluster node 'pve2'", NotFoundError, {"node": "pve2"}),
    ("snapshot 'nosuch' does not exist", NotFoundError, {}),
    ("no such user ('zed@pve')", NotFoundError, {}),
    ("delete group failed: group 'nosuch' does not exist", NotFoundError, {}),
    ("can't remove VM 110 - protection mode enabled", ConflictError, {}),
    ("unable to create template, because VM contains snapshots", ConflictError, {}),
    ("delete pool failed: pool 'p1' is not empty (contains pool 'p1/sub')", ConflictError, {}),
    ("'storage-local'-locked command timed out - aborting", OutcomeUnknownError, {}),
    ("VM 100 qmp command 'cont' failed - got timeout", OutcomeUnknownError, {}),
    ("got no worker upid - start worker failed", OutcomeUnknownError, {}),
    (
        "unable to open file '/etc/pve/nodes/pve1/lxc/100.conf.tmp.77' - Permission denied",
        NoQuorumError,
        {},
    ),
    ("you can't start a vm if it's a template", ConflictError, {}),
    ("no options specified", RejectedError, {}),
    ("malformed JSON string, neither tag, array at AnyEvent.pm line 934.", RejectedError, {}),
]


@pytest.mark.parametrize(("text", "error", "found"), HANDLER_TEXTS)
@pytest.mark.parametrize("told_by", ["reason", "message", "extjs"])
def test_a_sentence_of_pve_is_the_same_error_whichever_way_it_is_told(
    text: str, error: type[PveopsError], found: dict[str, str], told_by: str
) -> None:
    """Before pve-http-server 5.2.0 the reason alone; since then the message too; extjs as 200."""
    response = {
        "reason": answer(500, text, {"data": None}),
        "message": answer(500, text, {"data": None, "message": text + "\n"}),
        "extjs": answer(
            200, "OK", {"success": 0, "status": "500", "message": text + "\n", "data": None}
        ),
    }[told_by]
    raised = refused(POST, response)
    assert type(raised) is error
    assert raised.details["server"] == text
    assert raised.details["status"] == 500
    assert found.items() <= raised.details.items()


def test_the_whole_text_stays_in_the_details_and_its_first_line_is_the_message() -> None:
    text = "VM is locked (backup)\ncommand failed\n"
    raised = refused(POST, answer(500, "VM is locked (backup)", {"message": text, "data": None}))
    assert raised.message == "VM is locked (backup)"
    assert raised.details["server"] == text.strip()


def test_a_timeout_inside_a_read_changed_nothing() -> None:
    text = "VM 100 qmp command 'query-status' failed - got timeout"
    assert type(refused(GET, answer(500, text, {"data": None}))) is BusyError


def test_data_comes_out_with_total_and_changes() -> None:
    body = {"data": [{"vmid": 100}], "total": 7, "changes": "--- a\n+++ b"}
    decoded = decode(GET, answer(200, "OK", body))
    assert decoded == ([{"vmid": 100}], 7, "--- a\n+++ b")


def test_null_is_data() -> None:
    assert decode(POST, answer(200, "OK", {"data": None})).data is None


def test_an_extjs_success_is_data() -> None:
    assert decode(POST, answer(200, "OK", {"success": 1, "data": "UPID"})).data == "UPID"


def test_parameters_are_told_by_name() -> None:
    errors = {"name": "invalid format - x\n", "cores": "type check ('integer') failed"}
    body = {"data": None, "message": "Parameter verification failed.\n", "errors": errors}
    raised = refused(POST, answer(400, "Parameter verification failed.", body))
    assert type(raised) is ParameterError
    assert raised.details["errors"]["name"] == "invalid format - x"
    assert "cores: type check" in raised.message


@pytest.mark.parametrize(
    ("errors", "error"),
    [
        ({"upid": "no such task"}, NotFoundError),
        ({"iface": "interface does not exist"}, NotFoundError),
        ({"vmid": "VM 100 already exists"}, ExistsError),
        ({"skiplock": "Only root may use this option."}, RootOnlyError),
        ({"hookscript": "script 'local:snippets/x.sh' does not exist"}, ParameterError),
        ({"type": "value 'x' does not have a value in the enumeration 'vm'"}, ParameterError),
    ],
)
def test_some_states_of_the_world_come_dressed_as_one_parameter(
    errors: dict[str, str], error: type[PveopsError]
) -> None:
    body = {"data": None, "message": "Parameter verification failed.\n", "errors": errors}
    assert type(refused(GET, answer(400, "Parameter verification failed.", body))) is error


@pytest.mark.parametrize(
    "reason",
    [
        "No ticket",
        "Authentication failed!",
        "permission denied - invalid PVE ticket",
        "Permission denied - invalid csrf token",
        "",
    ],
)
def test_every_401_is_one_thing(reason: str) -> None:
    assert type(refused(POST, answer(401, reason))) is AuthenticationError


def test_a_missing_privilege_is_named_with_its_path() -> None:
    reason = "Permission check failed (/vms/100, Sys.Audit|Sys.Modify)"
    raised = refused(GET, answer(403, reason, {"data": None, "message": reason + "\n"}))
    assert type(raised) is PermissionDeniedError
    assert raised.details["path"] == "/vms/100"
    assert raised.details["privileges"] == ["Sys.Audit", "Sys.Modify"]
    assert "Sys.Audit or Sys.Modify on /vms/100" in raised.message


def test_a_403_without_a_privilege_keeps_its_text() -> None:
    raised = refused(GET, answer(403, "Permission check failed", {"data": None}))
    assert type(raised) is PermissionDeniedError
    assert "path" not in raised.details


def test_a_call_that_no_token_may_make_says_so() -> None:
    text = (
        "Permission check failed (URI '/access/ticket' not available with API token, need"
        " proper ticket.\n)"
    )
    raised = refused(
        POST, answer(403, text.split("\n", maxsplit=1)[0], {"data": None, "message": text})
    )
    assert type(raised) is PermissionDeniedError
    assert "ticket" in raised.hint


def test_root_only_is_its_own_error() -> None:
    reason = "Permission check failed (user != root@pam)"
    assert type(refused(POST, answer(403, reason, {"data": None}))) is RootOnlyError


@pytest.mark.parametrize("request_", [GET, POST])
def test_595_was_never_executed(request_: Request) -> None:
    raised = refused(request_, answer(595, "No route to host"))
    assert type(raised) is NodeUnreachableError
    assert raised.details["executed"] is False
    assert raised.details["node"] == "pve1"


@pytest.mark.parametrize("status", [596, 597, 599])
def test_a_lost_answer_between_nodes_leaves_a_write_unknown_and_a_read_repeatable(
    status: int,
) -> None:
    assert type(refused(POST, answer(status, "Broken pipe"))) is OutcomeUnknownError
    assert type(refused(GET, answer(status, "Broken pipe"))) is NodeUnreachableError


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_without_an_answer_leaves_a_write_unknown(status: int) -> None:
    assert type(refused(POST, answer(status, "Bad Gateway", b"<html>"))) is OutcomeUnknownError
    assert type(refused(GET, answer(status, "Bad Gateway", b"<html>"))) is UnreachableError


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b'{"data": [1, 2'),
        (200, b"<html>login</html>"),
        (200, b"[1]"),
        (200, b'{"value": 1}'),
        (204, b""),
        (500, b"<html><h1>500</h1></html>"),
    ],
)
def test_what_pve_never_sends_is_a_protocol_error_to_a_read_and_unknown_to_a_write(
    status: int, body: bytes
) -> None:
    assert type(refused(GET, answer(status, "OK", body))) is ProtocolError
    assert type(refused(POST, answer(status, "OK", body))) is OutcomeUnknownError


@pytest.mark.parametrize("request_", [GET, POST])
def test_a_redirect_is_not_followed_and_executed_nothing(request_: Request) -> None:
    assert type(refused(request_, answer(301, "Moved Permanently"))) is ProtocolError


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (501, "Method 'GET /nosuch' not implemented"),
        (501, "no such uri"),
        (506, "upload 'Content-Type 'text/plain' not implemented"),
    ],
)
def test_an_unknown_method_is_not_implemented(status: int, reason: str) -> None:
    assert type(refused(GET, answer(status, reason))) is NotImplementedByServerError


def test_a_real_404_is_not_found() -> None:
    text = "endpoint 'nosuch' does not exist"
    raised = refused(GET, answer(404, text, {"data": None, "message": text + "\n"}))
    assert type(raised) is NotFoundError


def test_a_400_without_parameters_is_told_by_its_phrase() -> None:
    text = "Cannot create 'g1', an entity with the same name already exists"
    raised = refused(POST, answer(400, text, {"data": None, "message": text + "\n"}))
    assert type(raised) is ExistsError
    assert type(refused(POST, answer(400, "Bad Request"))) is RejectedError


def test_a_body_that_is_not_quite_utf8_still_gives_its_data() -> None:
    decoded = decode(GET, answer(200, "OK", b'{"data": "caf\xe9"}'))
    assert isinstance(decoded.data, str)
    assert decoded.data.startswith("caf")


def test_a_body_nested_without_end_is_no_crash() -> None:
    body = b'{"data": ' + b"[" * 100_000
    assert type(refused(GET, answer(200, "OK", body))) is ProtocolError


@given(
    request_=st.sampled_from([GET, POST]),
    status=st.integers(100, 699),
    reason=st.text(max_size=60),
    body=st.one_of(
        st.binary(max_size=60),
        st.dictionaries(
            st.sampled_from(["data", "success", "status", "message", "errors", "total"]),
            st.recursive(
                st.none() | st.integers() | st.text(max_size=9) | st.booleans(),
                lambda inner: (
                    st.lists(inner, max_size=2)
                    | st.dictionaries(st.text(max_size=5), inner, max_size=2)
                ),
                max_leaves=4,
            ),
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_no_answer_at_all_is_anything_but_data_or_an_error_of_ours(
    request_: Request, status: int, reason: str, body: bytes
) -> None:
    try:
        decode(request_, Response(status, reason, {}, body))
        text = ""
    except PveopsError as error:
        text = error.message
    assert status == 200 or text
    assert "\x1b" not in text


HOSTILE = st.text(
    alphabet=st.one_of(
        st.sampled_from("<>|[]/\\\x1b\x7f\x9b\u202e\u200b\t\n INSTinstSYSsystem_user0m;"),
        st.characters(max_codepoint=0x2100),
    ),
    max_size=14,
)


@given(HOSTILE, st.booleans(), st.sampled_from(["", "[INST]", "</sys>", "<|im_end|>", "\x1b[2J"]))
def test_what_is_passed_on_unlooked_at_needs_no_cleaning(
    text: str, is_ascii: bool, marker: str
) -> None:
    """The short way through must give what the long way gives."""
    value: dict[str, Any] = {"name": text + marker, "tags": [marker + text]}
    raw = json.dumps(value, ensure_ascii=is_ascii)
    if is_harmless_json(raw):
        assert sanitize_value(value) == value
    decoded = decode(GET, answer(200, "OK", ('{"data": ' + raw + "}").encode("utf-8", "replace")))
    assert "\x1b" not in json.dumps(decoded.data, ensure_ascii=False)


@pytest.mark.parametrize(
    "text", ["[INST]", "[/inst]", "<</SYS>>", "</system>", "<|im_start|>", "\x1b[2J", "\x9b2J"]
)
def test_a_marker_is_never_passed_on_unlooked_at(text: str) -> None:
    assert sanitize_value(text) != text
    for is_ascii in (True, False):
        assert not is_harmless_json(json.dumps([text], ensure_ascii=is_ascii))


def test_an_ordinary_answer_takes_the_short_way() -> None:
    row = {"id": "qemu/100", "tags": "prod;web", "cpu": 0.5, "list": ["a", 1, None, True]}
    assert is_harmless_json(json.dumps({"data": [row, row]}))

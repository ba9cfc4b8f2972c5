"""Calls are checked before they are sent, by the facts of a release."""

from __future__ import annotations

import pytest

from pveops.api.params import check_call
from pveops.errors import NotImplementedByServerError, ParameterError
from pveops.schema import Facts

CONFIG = "/nodes/pve1/qemu/100/config"


@pytest.fixture(scope="module")
def facts() -> Facts:
    return Facts.open("9.2")


def errors_of(facts: Facts, method: str, path: str, **params: object) -> dict[str, str]:
    with pytest.raises(ParameterError) as caught:
        check_call(facts, method, path, params)  # type: ignore[arg-type]
    errors: dict[str, str] = caught.value.details["errors"]
    return errors


def test_a_right_call_has_no_remarks(facts: Facts) -> None:
    params = {"cores": 4, "onboot": True, "net0": "virtio,bridge=vmbr0", "description": None}
    assert check_call(facts, "PUT", CONFIG, params) == ()
    assert check_call(facts, "GET", "/cluster/resources", {"type": "vm"}) == ()
    assert check_call(facts, "GET", "/version") == ()


def test_a_misspelt_parameter_of_a_write_is_refused_with_a_suggestion(facts: Facts) -> None:
    errors = errors_of(facts, "PUT", CONFIG, memry=512)
    assert errors == {"memry": "is not a parameter of this call; did you mean memory?"}


def test_a_parameter_unknown_to_a_read_is_let_through_with_a_remark(facts: Facts) -> None:
    """The server may be newer than the facts."""
    (remark,) = check_call(facts, "GET", "/cluster/resources", {"type": "vm", "newer": 1})
    assert remark.startswith("newer is not a parameter")


@pytest.mark.parametrize(
    ("method", "path", "params", "name"),
    [
        ("PUT", CONFIG, {"cores": "many"}, "cores"),
        ("PUT", CONFIG, {"cores": 0}, "cores"),
        ("PUT", CONFIG, {"ostype": "beos"}, "ostype"),
        ("GET", "/cluster/resources", {"type": "lxc"}, "type"),
        ("GET", "/nodes/pve1/qemu/abc/config", {}, "vmid"),
        ("POST", "/nodes/pve1/qemu/100/clone", {}, "newid"),
        ("POST", "/nodes/pve1/qemu/100/clone", {"newid": 101, "vmid": 102}, "vmid"),
    ],
)
def test_a_malformed_or_missing_parameter_is_named(
    facts: Facts, method: str, path: str, params: dict[str, object], name: str
) -> None:
    assert name in errors_of(facts, method, path, **params)


def test_an_unknown_write_is_refused_and_an_unknown_read_is_not(facts: Facts) -> None:
    with pytest.raises(NotImplementedByServerError) as caught:
        check_call(facts, "POST", "/nodes/pve1/qemu/100/status/strat")
    assert "did you mean" in caught.value.hint
    (remark,) = check_call(facts, "GET", "/cluster/brand-new")
    assert "has no GET /cluster/brand-new" in remark


def test_a_wrong_method_is_told_the_right_ones(facts: Facts) -> None:
    with pytest.raises(NotImplementedByServerError) as caught:
        check_call(facts, "DELETE", "/nodes/pve1/qemu/100/status/start")
    assert "POST" in caught.value.hint


def test_what_one_release_has_another_may_not(facts: Facts) -> None:
    """`/cluster/bulk-action` came with 9.1."""
    path = "/cluster/bulk-action/guest/start"
    assert check_call(facts, "POST", path) == ()
    with pytest.raises(NotImplementedByServerError, match=r"8\.4"):
        check_call(Facts.open("8.4"), "POST", path)

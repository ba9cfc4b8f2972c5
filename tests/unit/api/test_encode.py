"""Parameters as they go out. Facts: pve-http-server AnyEvent.pm splits at raw `;`, `&`, `=`."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pveops.api.encode import encode_form, encode_params
from pveops.errors import UsageError


def test_booleans_go_out_as_one_and_zero() -> None:
    assert encode_params({"full": True, "purge": False}) == (("full", "1"), ("purge", "0"))


def test_none_is_left_out_and_empty_text_is_not() -> None:
    assert encode_params({"a": None, "b": ""}) == (("b", ""),)


def test_a_list_repeats_its_name() -> None:
    params = {"command": ["ls", "-l"], "cores": 4, "bwlimit": 1.5}
    assert encode_params(params) == (
        ("command", "ls"),
        ("command", "-l"),
        ("cores", "4"),
        ("bwlimit", "1.5"),
    )


def test_an_empty_list_is_refused_because_leaving_it_out_would_mean_all() -> None:
    with pytest.raises(UsageError, match="'vmid' is empty"):
        encode_params({"vmid": []})


@pytest.mark.parametrize("name", ["", "a\nb", "x\x00", "del\x7f"])
def test_a_name_with_control_characters_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        encode_params({name: "1"})


@pytest.mark.parametrize("value", [{"a": 1}, float("nan"), float("inf"), b"x", [[1]]])
def test_a_value_of_no_pve_type_is_refused(value: object) -> None:
    with pytest.raises(UsageError):
        encode_params({"a": value})  # type: ignore[dict-item]


def test_what_would_split_a_form_is_encoded_in_every_value() -> None:
    form = encode_form((("net0", "virtio=AA:BB,bridge=vmbr0"), ("size", "+1G"), ("tags", "a;b&c")))
    assert form == "net0=virtio%3DAA%3ABB%2Cbridge%3Dvmbr0&size=%2B1G&tags=a%3Bb%26c"


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=6))
def test_any_text_comes_back_from_a_form_as_it_went(pairs: list[tuple[str, str]]) -> None:
    form = encode_form(pairs)
    assert parse_qsl(form, keep_blank_values=True, strict_parsing=bool(pairs)) == pairs

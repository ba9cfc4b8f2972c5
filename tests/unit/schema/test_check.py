"""Parameters are checked in PVE's order and words (pve-common JSONSchema.pm)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pveops.schema import Facts, Method, check_parameters, did_you_mean
from pveops.schema.check import MISSING, UNKNOWN

FACTS = Facts.open("9.2")
CONFIG = FACTS.method("PUT", "/nodes/{node}/qemu/{vmid}/config")
BACKUP = FACTS.method("POST", "/nodes/{node}/vzdump")
PLACE = {"node": "pve1", "vmid": "100"}


def method_of(**parameters) -> Method:
    known = FACTS.method("GET", "/version")
    return known._replace(parameters=parameters, has_more_parameters=False)


def check(schema, value):
    """The text about one value."""
    return check_parameters(method_of(p=schema), {"p": value}).get("p")


def config(**params):
    return check_parameters(CONFIG, {**PLACE, **params})


def test_a_good_call_has_no_errors():
    assert config(cores=2, net0="virtio,bridge=vmbr0", onboot=True, memory="2048") == {}


def test_an_unknown_parameter_and_a_missing_one_are_told():
    assert check_parameters(CONFIG, {"node": "pve1", "colour": "red"}) == {
        "colour": UNKNOWN,
        "vmid": MISSING,
    }


def test_a_parameter_of_none_was_not_given():
    assert check_parameters(CONFIG, {"node": "pve1", "vmid": None}) == {"vmid": MISSING}


@pytest.mark.parametrize("value", ["true", "on", "yes", "", "2"])
def test_a_boolean_is_1_or_0(value):
    """Recorded."""
    assert config(onboot=value) == {"onboot": f"type check ('boolean') failed - got '{value}'"}


def test_a_boolean_in_a_property_string_may_be_a_word():
    assert config(net0="virtio,bridge=vmbr0,firewall=yes") == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1.5", "type check ('integer') failed - got '1.5'"),
        (1.5, "type check ('integer') failed - got '1.5'"),
        (" 1", "type check ('integer') failed - got ' 1'"),
        ("+5", None),
        ("0", "value must have a minimum value of 1"),
        ("11", "value must have a maximum value of 10"),
        (["1", "2"], "type check ('integer') failed - got ARRAY"),
        ({"a": 1}, "type check ('integer') failed - got HASH"),
    ],
)
def test_integers(value, text):
    assert check({"type": "integer", "minimum": 1, "maximum": 10}, value) == text


@pytest.mark.parametrize(("value", "fits"), [("1.", True), (".5", True), ("1e3", True), ("x", 0)])
def test_numbers(value, fits):
    assert (check({"type": "number"}, value) is None) == bool(fits)


def test_length_comes_before_the_enumeration_and_after_the_pattern():
    schema = {"type": "string", "pattern": "[a-z]+", "minLength": 3, "enum": ["abc"]}
    assert check(schema, "A") == "value does not match the regex pattern"
    assert check(schema, "ab") == "value must be at least 3 characters long"
    assert check(schema, "abd") == "value 'abd' does not have a value in the enumeration 'abc'"
    assert check({"type": "string", "maxLength": 2}, "abc") == (
        "value may only be 2 characters long"
    )


def test_the_servers_anchors_bind_to_the_ends_of_a_pattern_only():
    """JSONSchema.pm matches `^$pattern$` without a group around it."""
    schema = {"type": "string", "pattern": "none|[0-9]+"}
    assert check(schema, "none at all") is None
    assert check(schema, "at all") == "value does not match the regex pattern"


def test_a_pattern_that_python_cannot_read_is_left_to_the_server():
    assert check({"type": "string", "pattern": r"\p{Lu}(*FAIL"}, "x") is None


def test_an_array_takes_one_value_and_names_the_bad_one_of_several():
    schema = {"type": "array", "items": {"type": "integer"}}
    assert check(schema, "7") is None
    assert check_parameters(method_of(p=schema), {"p": ["7", "x"]}) == {
        "p[1]": "type check ('integer') failed - got 'x'"
    }


def test_an_empty_value_is_no_array():
    """RESTHandler.pm wraps values that Perl holds true only."""
    assert check({"type": "array"}, "") == "type check ('array') failed"


def test_a_string_that_lists_takes_an_array():
    schema = {"type": "string", "format": "pve-vmid-list"}
    assert check(schema, ["100", "101"]) is None
    assert check(schema, "100, 101;102 103") is None
    assert check(schema, ["100", "5"]) == (
        "invalid format - value does not look like a valid VM ID\n"
    )


@pytest.mark.parametrize(
    ("release", "text"),
    [
        ("9.2", "missing property required by 'checksum'"),
        ("9.1.8", "missing property required by 'checksum'"),
        ("8.4.21", "missing property - 'checksum' requires this property"),
        ("7.4-17", "missing property - 'checksum' requires this property"),
    ],
)
def test_a_parameter_that_another_requires_is_missed(release, text):
    method = FACTS.method("POST", "/nodes/{node}/storage/{storage}/download-url")
    params = {"node": "n", "storage": "local", "content": "iso", "filename": "a.iso"}
    found = check_parameters(
        method, {**params, "url": "https://h/a.iso", "checksum": "0"}, release
    )
    assert found == {"checksum-algorithm": text}


def test_two_errors_about_one_parameter_are_joined_as_perl_joins_them():
    """add_error joins with a backslash and an n: single quotes in Perl."""
    method = method_of(
        a={"type": "string", "optional": 1, "requires": "c"},
        b={"type": "string", "optional": 1, "requires": "c"},
        c={"type": "string", "optional": 1},
    )
    assert check_parameters(method, {"a": "1", "b": "2"}) == {
        "c": r"missing property required by 'a'\nmissing property required by 'b'"
    }


# -- numbered parameters ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["net0", "net31", "scsi30", "virtio15", "sata5", "ide3"])
def test_numbered_parameters_are_known_up_to_their_last(name):
    assert config(**{name: "x"}).get(name) != UNKNOWN


@pytest.mark.parametrize("name", ["net32", "scsi31", "ide4", "net01", "net", "net[n]x"])
def test_numbered_parameters_end(name):
    assert config(**{name: "virtio"}) == {name: UNKNOWN}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("core", "cores"),
        ("Onboot", "onboot"),
        ("nett1", "net1"),
        ("net99", "net31"),
        ("scsi_hw", "scsihw"),
        ("zzzzzz", None),
    ],
)
def test_a_misspelt_parameter_has_a_suggestion(name, meant):
    assert did_you_mean(name, CONFIG) == meant


# -- property strings ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("virtio,bridge=vmbr0", None),
        ("virtio=BC:24:11:00:00:02,bridge=vmbr0", None),
        ("model=virtio, ,bridge=vmbr0", None),
        ("virtio,colour=red", "invalid key in comma-separated list property: colour"),
        ("virtio,e1000", "duplicate key in comma-separated list property: model"),
        ("virtio,mtu=1,mtu=2", "duplicate key in comma-separated list property: mtu"),
        ("virtio,bridge=", "missing key in comma-separated list property"),
        (
            "virtio=BC:24:11:00:00:02,e1000=BC:24:11:00:00:04",
            "key alias 'model' is already defined",
        ),
        ("bridge=vmbr0", f"format error\nnet0.model: {MISSING}"),
        (
            "virtio,tag=0,queues=99",
            "format error\nnet0.tag: value must have a minimum value of 1\n"
            "net0.queues: value must have a maximum value of 64",
        ),
    ],
)
def test_property_strings_are_taken_apart_in_pves_words(value, text):
    assert config(net0=value) == ({"net0": f"invalid format - {text}\n"} if text else {})


def test_an_error_of_a_format_inside_a_property_string_keeps_its_newline():
    """Recorded: `config put bad mac`."""
    assert config(net1="virtio=ZZ:00:00:00:00:00,bridge=vmbr0") == {
        "net1": "invalid format - format error\nnet1.macaddr: invalid format - value does not "
        "look like a valid unicast MAC address\n\n"
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("keep-last=3,keep-weekly=2", None),
        ("keep-all=1", None),
        ("keep-all=1,keep-last=3", "keep-all cannot be set together with other options."),
        ("keep-some=3", "invalid key in comma-separated list property: keep-some"),
        (
            "keep-last=many",
            "format error\nprune-backups.keep-last: type check ('integer') failed - got 'many'",
        ),
        ("3", "value without key, but schema does not define a default key"),
    ],
)
def test_forms_that_the_schema_only_names_are_known(value, text):
    found = check_parameters(BACKUP, {"node": "pve1", "prune-backups": value})
    assert found == ({"prune-backups": f"invalid format - {text}\n"} if text else {})


def test_fleecing_needs_a_storage():
    params = {"node": "pve1", "fleecing": "1"}
    text = "invalid format - 'storage' parameter is required when 'enabled' is set\n"
    assert check_parameters(BACKUP, params) == {"fleecing": text}
    assert check_parameters(BACKUP, {**params, "fleecing": "1,storage=local"}) == {}


# -- parameters of a type --------------------------------------------------------------


def test_a_parameter_of_other_types_is_none_of_this_one():
    """`type-property` and `instance-types` of 9.0 and later."""
    schema = {
        "type-property": "type",
        "oneOf": [
            {"instance-types": ["a"], "type": "integer", "optional": 1},
            {"instance-types": ["b"], "type": "string", "enum": ["x"]},
        ],
    }
    method = method_of(type={"type": "string"}, p=schema)
    assert check_parameters(method, {"type": "a", "p": "1"}) == {}
    assert check_parameters(method, {"type": "a", "p": "x"}) == {
        "p": "type check ('integer') failed - got 'x'"
    }
    assert check_parameters(method, {"type": "c", "p": "x"}) == {"p": UNKNOWN}
    assert check_parameters(method, {"type": "b"}) == {"p": MISSING}
    assert check_parameters(method, {"type": "a"}) == {}


# -- whatever comes --------------------------------------------------------------------

NAMES = st.sampled_from(sorted(name.replace("[n]", "0") for name in CONFIG.parameters))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)
PROPERTIES = st.from_regex(r"\A[a-z]*(=[a-z0-9:]*)?(,[a-z_]{2,8}=?[a-z0-9:.]*){0,3}\Z")


@given(params=st.dictionaries(NAMES | st.text(), VALUES | PROPERTIES, max_size=5))
def test_any_parameters_are_judged(params):
    found = check_parameters(CONFIG, params)
    assert all(isinstance(text, str) and text for text in found.values())


def test_a_name_or_number_of_thousands_of_digits_is_judged():
    """Python reads no number of more than 4300 digits."""
    digits = "9" * 5000
    assert config(**{f"net{digits}": "virtio"}) == {f"net{digits}": UNKNOWN}
    assert config(cores=digits) == {}
    assert config(cores=f"-{digits}") == {"cores": "value must have a minimum value of 1"}
    assert did_you_mean(f"net{digits}", CONFIG) is None

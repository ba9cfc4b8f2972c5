"""A cluster's own description of its API, as facts."""

from __future__ import annotations

import json

import pytest

from pveops.errors import ProtocolError
from pveops.schema.apidoc import facts_of_apidoc

TREE = [
    {
        "path": "/nodes",
        "info": {"GET": {"name": "index", "permissions": {"user": "all"}}},
        "children": [
            {
                "path": "/nodes/{node}/qemu/{vmid}/status/stop",
                "info": {
                    "POST": {
                        "name": "vm_stop",
                        "description": "prose",
                        "parameters": {
                            "additionalProperties": 0,
                            "properties": {"new-one": {"type": "integer", "description": "prose"}},
                        },
                        "permissions": {"check": ["perm", "/vms/{vmid}", ["VM.PowerMgmt"]]},
                    }
                },
            }
        ],
    }
]


def test_the_apidoc_of_a_cluster_becomes_facts_that_can_be_kept(tmp_path):
    script = f"const apiSchema = {json.dumps(TREE)}\n;\nlet method2cmd = {{}};"
    path = tmp_path / "own"
    path.write_bytes(facts_of_apidoc(script, "9.2.1").save())
    from pveops.schema import Facts

    facts = Facts.load(path)
    method = facts.method("POST", "/nodes/{node}/qemu/{vmid}/status/stop")
    assert method is not None
    assert method.parameters == {"new-one": {"type": "integer"}}
    assert method.task == "upid"
    assert facts.methods_at("/") == ("GET",)


def test_the_older_name_of_the_tree_is_known():
    """Older releases of pve-docs call it `pveapi`."""
    facts = facts_of_apidoc(f"var pveapi = {json.dumps(TREE)};", "7.4-17")
    assert facts.resolve("GET", "/nodes") is not None


def test_words_about_a_default_are_no_default():
    tree = json.loads(json.dumps(TREE))
    properties = tree[0]["children"][0]["info"]["POST"]["parameters"]["properties"]
    properties["a"] = {"type": "integer", "default": "limit of the datacenter"}
    properties["b"] = {"type": "integer", "default": 5}
    properties["c"] = {"type": "string", "default": "email profile"}
    facts = facts_of_apidoc(f"const apiSchema = {json.dumps(tree)}", "9.2")
    method = facts.method("POST", "/nodes/{node}/qemu/{vmid}/status/stop")
    assert method is not None
    assert [method.parameters[name].get("default") for name in "abc"] == [None, 5, "email profile"]


@pytest.mark.parametrize(
    "script",
    [
        "",
        "<html>",
        "apiSchema = [",
        "apiSchema = []",
        "apiSchema = [1]",
        'apiSchema = [{"info": {"GET": {}}}]',
        'apiSchema = [{"path": "/a", "info": {"GET": "x"}}]',
        "apiSchema = " + "[" * 100_000,
    ],
)
def test_anything_else_is_a_protocol_error(script):
    with pytest.raises(ProtocolError):
        facts_of_apidoc(script, "9.2")

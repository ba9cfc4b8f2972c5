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


@pytest.mark.parametrize("script", ["", "<html>", "apiSchema = [", "apiSchema = []"])
def test_anything_else_is_a_protocol_error(script):
    with pytest.raises(ProtocolError):
        facts_of_apidoc(script, "9.2")

"""A cluster's own description of its API leads back to the facts it was made from."""

from pveops.schema import Facts
from pveops.schema.apidoc import facts_of_apidoc
from pveops.sim.apidoc import serve_apidoc


def test_the_facts_survive_the_round_trip() -> None:
    taken = facts_of_apidoc(serve_apidoc("9.2").body.decode(), "9.2")
    shipped = Facts.open("9.2")
    assert set(taken.templates()) == set(shipped.templates())
    for template in ("/nodes/{node}/qemu/{vmid}/config", "/access/ticket", "/cluster/resources"):
        for name in shipped.methods_at(template):
            mine, theirs = taken.method(name, template), shipped.method(name, template)
            assert mine is not None
            assert theirs is not None
            assert mine.parameters == theirs.parameters
            assert mine.is_protected == theirs.is_protected
            assert mine.task == theirs.task

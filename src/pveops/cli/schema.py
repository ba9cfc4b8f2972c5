"""`pve schema`: the facts that paths and parameters are checked against."""

from __future__ import annotations

import click

from pveops.cli.answer import Answer
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Group
from pveops.errors import ConfigError, ProtocolError

_OK = 200

group = Group("schema", help="What the cluster's API offers: the facts that calls are checked by.")


@group.command("refresh", operation="schema.refresh", examples=("pve schema refresh",))
@click.pass_obj
def refresh(call: Call) -> Answer:
    """Take the cluster's own copy of the API's schema, and use it from now on.

    Without it, the facts of the nearest release that ships with pveops are used.
    """
    from pveops.config.paths import write_private_file
    from pveops.schema.apidoc import facts_of_apidoc

    wiring = call.wiring
    release = wiring.reader.version().text
    facts = facts_of_apidoc(_read_script(call), release)
    templates = facts.templates()
    write_private_file(wiring.own_schema, facts.save())
    methods = sum(len(facts.methods_at(template)) for template in templates)
    return Answer(
        f"the schema of PVE {release} was taken: {count_of(len(templates), 'path')}, "
        f"{count_of(methods, 'method')}",
        data={
            "release": release,
            "paths": len(templates),
            "methods": methods,
            "file": str(wiring.own_schema),
        },
    )


def _read_script(call: Call) -> str:
    from pveops.api.port import Request
    from pveops.schema.apidoc import APIDOC_PATH

    documents = call.wiring.connection.documents
    if documents is None:
        raise ConfigError(
            "this way to the cluster serves no documents", hint="use a profile with an endpoint"
        )
    response = documents.send(Request("GET", APIDOC_PATH))
    if response.status != _OK:
        raise ProtocolError(
            f"{APIDOC_PATH} was answered with {response.status} {response.reason}",
            hint="is the package pve-docs installed on the node?",
        )
    return response.body.decode(errors="replace")

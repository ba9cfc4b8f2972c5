"""`pve cluster`: procedures over all nodes."""

from __future__ import annotations

from pveops.cli.commands import Group

_VERB = "pveops.cli.verbs:cluster_verb"

group = Group(
    "cluster",
    help="The cluster as a whole: reboot node by node, switch off, bring back.",
    lazy={
        "rolling-reboot": (_VERB, "empty, reboot and refill one node after the other"),
        "shutdown-plan": (_VERB, "shut all guests down in order, then the nodes"),
        "bring-back": (_VERB, "start again, in order, what the shutdown took down"),
    },
)

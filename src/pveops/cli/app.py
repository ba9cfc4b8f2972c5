"""The tree of `pve`: every noun, imported when it is used."""

from __future__ import annotations

import click

from pveops.cli.commands import Root

NOUNS = {
    "status": ("pveops.cli.status:command", "the cluster at a glance, and what is wrong with it"),
    "find": ("pveops.cli.find:command", "guests, nodes, storages, pools by a piece of their name"),
    "guest": (
        "pveops.cli.guest:group",
        "guests: list, show, doctor, start, stop, create, clone, delete, ...",
    ),
    "disk": ("pveops.cli.disk:group", "disks of guests: list, grow, move, detach, attach"),
    "template": ("pveops.cli.template:group", "what guests are made from: list, show, check"),
    "snapshot": ("pveops.cli.snapshot:group", "snapshots: list, create, rollback, delete, prune"),
    "backup": ("pveops.cli.backup:group", "backups: list, show, run, audit, why, prune, ..."),
    "job": ("pveops.cli.job:group", "backup jobs: list, show, next, create, change, enable, ..."),
    "node": ("pveops.cli.node:group", "nodes: list, show, evacuate, return, reboot, ..."),
    "cluster": (
        "pveops.cli.cluster:group",
        "the whole: rolling-reboot, shutdown-plan, bring-back",
    ),
    "storage": (
        "pveops.cli.storage:group",
        "storages: list, show, content, download, upload, delete",
    ),
    "ha": ("pveops.cli.ha:group", "what HA manages: list, add, remove, set-state, migrate, reset"),
    "pool": ("pveops.cli.pool:group", "pools of guests: list, create, add, remove, delete"),
    "replication": ("pveops.cli.replication:group", "copies on other nodes: list, status, run"),
    "task": ("pveops.cli.task:group", "tasks: list, show, log, wait, cancel"),
    "api": ("pveops.cli.api:group", "any path of the API: get, ls, usage"),
    "monitor": (
        "pveops.cli.monitor:group",
        "what is wrong, told when it changes: run, status, history, ack, silence",
    ),
    "report": (
        "pveops.cli.report:command",
        "a digest of a day or a week: health, capacity, backups, changes by whom",
    ),
    "graph": ("pveops.cli.graph:group", "how much was used: guest, node, storage; text or PNG"),
    "plan": (
        "pveops.cli.plan:group",
        "plans that wait for consent: list, show, cancel, code",
    ),
    "run": ("pveops.cli.run:group", "what was begun: list, show, explain, wait, resume"),
    "policy": ("pveops.cli.policy:group", "who may do what: show, check, freeze, unfreeze"),
    "access": ("pveops.cli.access:group", "what a token may do: grant-script, check"),
    "secrets": ("pveops.cli.secrets:command", "the stored API tokens: add, status, rotate"),
    "audit": ("pveops.cli.audit:group", "the audit log: verify, show, reconcile"),
    "schema": ("pveops.cli.schema:group", "facts of the cluster's API: refresh"),
    "init": ("pveops.cli.init:command", "make the configuration; trust a server, store a token"),
    "doctor": ("pveops.cli.doctor:command", "check configuration, trust, token, consent"),
    "demo": ("pveops.cli.demo:command", "a simulated cluster to try everything on"),
    "skill": ("pveops.cli.skill:command", "the skill folder for agents: install, check"),
    "openclaw": ("pveops.cli.openclaw:group", "OpenClaw: setup, plugin, tell"),
    "mcp": ("pveops.mcp.command:group", "the same commands for agents over MCP: serve, tools"),
    "completion": ("pveops.cli.completion:command", "completion for bash, zsh or fish"),
}
"""Each noun: where its command is made, and what it is for."""

_HELP = """Operate Proxmox VE clusters: look, plan, get consent, act once, verify.

Looking is always allowed. A change that needs a person's consent stores a plan, changes nothing
and exits with 3; `pve-apply PLAN --code CODE` carries it out.

\b
Guests are named by vmid, by name, or by node/name:
  pve status                      what is wrong
  pve guest list --tag prod       which guests
  pve guest show web01            one of them
  pve guest shutdown web01 --reason "kernel update"

\b
Exit codes: 0 done or already so; 1 bug; 2 usage; 3 consent needed; 4 refused;
5 not found or ambiguous; 6 access; 7 configuration, TLS; 8 pending; 9 conflict;
10 task failed; 11 partial; 12 unreachable or no quorum; 13 outcome unknown, do not
retry; 14 rejected by the API.
"""


@click.group(cls=Root, lazy=NOUNS, help=_HELP, invoke_without_command=True)
@click.option("--version", is_flag=True, help="The version, and nothing else.")
@click.pass_context
def root(context: click.Context, version: bool) -> None:
    """The root of all commands."""
    if version:
        from pveops import __version__

        click.echo(f"pve {__version__}")
        context.exit()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        context.exit()

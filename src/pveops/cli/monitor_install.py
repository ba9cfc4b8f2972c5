"""`pve monitor install`: a look every few minutes, by OpenClaw, systemd or cron."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click

from pveops.cli.answer import Answer, Lines
from pveops.cli.call import Call
from pveops.cli.commands import Command
from pveops.errors import ConfigError, UsageError

_OPENCLAW_S = 60
_LOOK_S = 120
_MINUTE_S = 60
_LONGEST_MIN = 60

_SERVICE = """\
[Unit]
Description=Look at a Proxmox VE cluster, and tell what changed

[Service]
Type=oneshot
ExecStart={command}
# Open warnings and problems are no failure of the look.
SuccessExitStatus=20 21
{environment}"""

_TIMER = """\
[Unit]
Description=Look at a Proxmox VE cluster every {minutes} min

[Timer]
OnBootSec=2min
OnUnitActiveSec={minutes}min
AccuracySec=10s

[Install]
WantedBy=timers.target
"""


class Person(NamedTuple):
    """Whom OpenClaw tells, and over which channel."""

    channel: str
    target: str


@click.command(
    "install",
    cls=Command,
    operation="monitor.install",
    examples=(
        "pve monitor install --for openclaw --channel telegram --target 1234",
        "pve monitor install --for systemd --apply",
        "pve monitor install --for cron",
    ),
)
@click.option(
    "--for", "scheduler", type=click.Choice(["openclaw", "systemd", "cron"]), required=True
)
@click.option("--every", default="5m", show_default=True, help="How often; whole minutes.")
@click.option("--channel", default="", help="OpenClaw's channel; the profile's, if it names one.")
@click.option("--target", default="", help="Whom OpenClaw tells there.")
@click.option("--apply", "is_applied", is_flag=True, help="Do it, not only print it.")
@click.pass_obj
def command(
    call: Call, scheduler: str, every: str, channel: str, target: str, is_applied: bool
) -> Answer:
    """Print what makes `pve monitor run` a regular job, or set it up with --apply.

    No model is called when nothing changed. Setting it up twice changes nothing.
    """
    from pveops.config.profiles import choose_profile

    name, profile = choose_profile(call.wiring.paths, call.options.profile)
    minutes = _minutes(every)
    if scheduler == "openclaw":
        person = Person(
            channel or profile.consent.openclaw_channel, target or profile.consent.openclaw_target
        )
        return _openclaw(call, name, minutes, person, is_applied=is_applied)
    if scheduler == "systemd":
        return _systemd(call, name, minutes, is_applied=is_applied)
    if is_applied:
        raise UsageError("a crontab is yours to edit", hint="crontab -e, and put the line in")
    line = f"*/{minutes} * * * * {_with_home(call)}{shlex.join(_look(name))}".replace("%", r"\%")
    return Answer("a line for `crontab -e`", blocks=(Lines((line,)),), data={"line": line})


def _openclaw(call: Call, name: str, minutes: int, person: Person, *, is_applied: bool) -> Answer:
    if not person.channel or not person.target:
        raise UsageError("whom shall OpenClaw tell?", hint="--channel telegram --target ID")
    words = openclaw_job(_home_words(call) + _look(name, "--if-quiet", "NO_REPLY"), name, minutes)
    words += ["--announce", "--channel", person.channel, "--to", person.target]
    if not is_applied:
        return Answer(
            "one command, for OpenClaw's gateway to be running",
            data={"command": words},
            blocks=(Lines((shlex.join(words),)),),
        )
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=_OPENCLAW_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"OpenClaw cannot be asked: {error}", hint="openclaw doctor") from None
    if done.returncode != 0:
        raise ConfigError(
            f"OpenClaw did not take the job: {done.stderr.strip()[:300]}", hint="openclaw doctor"
        )
    return Answer("OpenClaw looks from now on", changed=True, next=("openclaw cron list",))


def openclaw_job(look: list[str], name: str, minutes: int) -> list[str]:
    """The words that make the job; its key makes it the same job each time."""
    return [
        *("openclaw", "cron", "add", "--name", f"pveops monitor {name}"),
        *("--every", f"{minutes}m", "--command-argv", json.dumps(look)),
        *("--timeout-seconds", str(_LOOK_S), "--declaration-key", f"pveops:monitor:{name}"),
    ]


def _systemd(call: Call, name: str, minutes: int, *, is_applied: bool) -> Answer:
    home = call.environ.get("PVE_HOME", "")
    environment = f'Environment="PVE_HOME={home}"\n' if home else ""
    look = " ".join(_quote_unit(word) for word in _look(name, "--tell"))
    base = call.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    folder = Path(base, "systemd", "user")
    units = {
        folder / f"pve-monitor-{name}.service": _SERVICE.format(
            command=look, environment=environment
        ),
        folder / f"pve-monitor-{name}.timer": _TIMER.format(minutes=minutes),
    }
    next_ = (
        f"systemctl --user daemon-reload && systemctl --user enable --now pve-monitor-{name}.timer"
    )
    if not is_applied:
        lines = [f"# {path}\n{text}" for path, text in units.items()]
        return Answer("two units", blocks=(Lines(tuple(lines)),), next=(next_,))
    folder.mkdir(parents=True, exist_ok=True)
    before = [path.read_text() if path.exists() else "" for path in units]
    for path, text in units.items():
        path.write_text(text)
    is_new = before != list(units.values())
    return Answer(
        f"{'written to' if is_new else 'they are already in'} {folder}",
        changed=is_new,
        next=(next_,),
    )


def _look(name: str, *more: str) -> list[str]:
    """The command, by its whole path: schedulers have a PATH of their own."""
    return [str(Path(sys.argv[0]).absolute()), "monitor", "run", *more, "--profile", name]


def _home_words(call: Call) -> list[str]:
    home = call.environ.get("PVE_HOME", "")
    return ["/usr/bin/env", f"PVE_HOME={home}"] if home else []


def _with_home(call: Call) -> str:
    words = _home_words(call)
    return f"{shlex.join(words)} " if words else ""


def _quote_unit(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or " " in word else word


def _minutes(text: str) -> int:
    from pveops.cli.verbs import parse_duration

    seconds = parse_duration(text) or 0
    if seconds % _MINUTE_S or not 1 <= seconds // _MINUTE_S <= _LONGEST_MIN:
        raise UsageError(f"{text!r} is no time from 1m to 1h", hint="--every 5m")
    return seconds // _MINUTE_S

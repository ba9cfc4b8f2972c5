"""`pve monitor install`: a look every few minutes, by OpenClaw, systemd or cron."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from pveops.cli.answer import Answer, Lines
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Command
from pveops.errors import ConfigError, UsageError

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
@click.option("--wake", is_flag=True, help="Let news wake OpenClaw's agent, which looks closer.")
@click.option("--apply", "is_applied", is_flag=True, help="Do it, not only print it.")
@click.pass_obj
def command(
    call: Call,
    scheduler: str,
    every: str,
    channel: str,
    target: str,
    wake: bool,
    is_applied: bool,
) -> Answer:
    """Print what makes `pve monitor run` a regular job, or set it up with --apply.

    No model is called when nothing changed. Setting it up twice changes nothing.
    """
    from pveops.config.profiles import choose_profile

    name, profile = choose_profile(call.wiring.paths, call.options.profile)
    minutes = read_minutes(every)
    if scheduler == "openclaw":
        known = profile.consent
        person = (channel or known.openclaw_channel, target or known.openclaw_target)
        return _openclaw(call, name, every, person, wakes=wake, is_applied=is_applied)
    if wake:
        raise UsageError("only OpenClaw has an agent to wake", hint="--for openclaw --wake")
    if scheduler == "systemd":
        return _systemd(call, name, minutes, is_applied=is_applied)
    if is_applied:
        raise UsageError("a crontab is yours to edit", hint="crontab -e, and put the line in")
    look = shlex.join(_look(call, name, "--job"))
    if 60 % minutes:
        raise UsageError(
            f"cron cannot look every {every} evenly", hint="--every 5m, 10m, 15m, 20m, 30m or 1h"
        )
    begin = "0" if minutes == _LONGEST_MIN else f"*/{minutes}"
    line = f"{begin} * * * * {_with_home(call)}{look}"
    line = line.replace("%", r"\%")
    return Answer("a line for `crontab -e`", blocks=(Lines((line,)),), data={"line": line})


def _openclaw(
    call: Call,
    name: str,
    every: str,
    person: tuple[str, str],
    *,
    wakes: bool,
    is_applied: bool,
) -> Answer:
    from pveops.cli.openclaw import make_look, refuse_agents, write_script
    from pveops.openclaw.host import Host
    from pveops.openclaw.jobs import job_words

    if not all(person):
        raise UsageError("whom shall OpenClaw tell?", hint="--channel telegram --target ID")
    look = make_look(call, name, every, person, wakes=wakes)
    words = job_words(look)
    if not is_applied:
        command = ["openclaw", *words]
        before = (f"pve openclaw wake-script --profile {shlex.quote(name)}",) if wakes else ()
        return Answer(
            f"{count_of(1 + len(before), 'command')}, for OpenClaw's gateway to be running",
            data={"command": command, "before": list(before)},
            blocks=(Lines((*before, shlex.join(command))),),
        )
    refuse_agents(call, "gives itself a regular job")
    if wakes:
        write_script(look)
    told = Host().read(words)
    if told.get("created") is False and told.get("updated") is False:
        return Answer("already so: OpenClaw looks", next=("openclaw cron list",))
    return Answer("OpenClaw looks from now on", changed=True, next=("openclaw cron list",))


def _systemd(call: Call, name: str, minutes: int, *, is_applied: bool) -> Answer:
    home = call.environ.get("PVE_HOME", "")
    environment = f'Environment="PVE_HOME={home}"\n' if home else ""
    look = " ".join(_quote_unit(word) for word in _look(call, name, "--tell"))
    base = call.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    folder = Path(base, "systemd", "user")
    units = {
        folder / f"pve-monitor-{name}.service": _SERVICE.format(
            command=look, environment=environment
        ),
        folder / f"pve-monitor-{name}.timer": _TIMER.format(minutes=minutes),
    }
    timer = f"pve-monitor-{name}.timer"
    next_ = (
        f"systemctl --user daemon-reload && systemctl --user enable --now {timer}",
        "loginctl enable-linger   # else it looks only while you are logged in",
    )
    nobody = _warn_of_nobody(call)
    if not is_applied:
        lines = [f"# {path}\n{text}" for path, text in units.items()]
        return Answer("two units", blocks=(Lines((*nobody, *lines)),), next=next_)
    from pveops.cli.openclaw import refuse_agents

    refuse_agents(call, "gives itself a regular job")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = [path.read_text() if path.exists() else "" for path in units]
        for path, text in units.items():
            path.write_text(text)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written: {error.strerror}", hint=f"look at `ls -ld {base}`"
        ) from error
    is_new = before != list(units.values())
    return Answer(
        f"{'written to' if is_new else 'they are already in'} {folder}; not begun yet",
        changed=is_new,
        blocks=(Lines(nobody),),
        next=next_,
    )


def _warn_of_nobody(call: Call) -> tuple[str, ...]:
    from pveops.config.profiles import choose_profile

    if choose_profile(call.wiring.paths, call.options.profile)[1].consent.is_set:
        return ()
    return ("! the profile names nobody to tell: docs/howto/messages.md",)


def _look(call: Call, name: str, *more: str) -> list[str]:
    """The command, by its whole path: schedulers have a PATH of their own."""
    return [call.program_file, "monitor", "run", *more, "--profile", name]


def _with_home(call: Call) -> str:
    home = call.environ.get("PVE_HOME", "")
    return f"{shlex.join(['/usr/bin/env', f'PVE_HOME={home}'])} " if home else ""


def _quote_unit(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or " " in word else word


def read_minutes(text: str) -> int:
    """Whole minutes, from 1 to 60. Raises UsageError."""
    from pveops.cli.verbs import parse_duration

    seconds = parse_duration(text) or 0
    if seconds % _MINUTE_S or not 1 <= seconds // _MINUTE_S <= _LONGEST_MIN:
        raise UsageError(f"{text!r} is no time from 1m to 1h", hint="--every 5m")
    return seconds // _MINUTE_S

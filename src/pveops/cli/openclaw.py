"""`pve openclaw`: make pveops at home in OpenClaw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pveops.cli.answer import Answer, Facts, Lines
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Group
from pveops.errors import ConfigError, PolicyRefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pveops.openclaw.host import Host
    from pveops.openclaw.jobs import Look
    from pveops.openclaw.state import Own
    from pveops.openclaw.steps import Step, Wish

group = Group("openclaw", help="OpenClaw: set everything up, put the plugin together.")

_STEP_S = 60


@group.command(
    "setup",
    operation="openclaw.setup",
    examples=(
        "pve openclaw setup",
        "pve openclaw setup --channel telegram --target 1234 --apply",
    ),
)
@click.option("--agent", default="main", show_default=True, help="Which of OpenClaw's agents.")
@click.option("--channel", default="", help="Over which channel the person is told.")
@click.option("--target", default="", help="Who is told there: codes, alerts.")
@click.option("--every", default="5m", show_default=True, help="How often the monitor looks.")
@click.option("--wake", is_flag=True, help="Let alerts wake the agent, not only be passed on.")
@click.option("--without-plugin", is_flag=True, help="Only the skill and the commands.")
@click.option("--keep-exec-mode", is_flag=True, help="Leave it as it is which commands ask.")
@click.option("--apply", "is_applied", is_flag=True, help="Do it, not only print it.")
@click.pass_obj
def setup(
    call: Call,
    agent: str,
    channel: str,
    target: str,
    every: str,
    wake: bool,
    without_plugin: bool,
    keep_exec_mode: bool,
    is_applied: bool,
) -> Answer:
    """Print the commands that set OpenClaw up, and which of them are done; --apply runs them.

    The agent may run `pve` unasked afterwards, and is asked about everything else, `pve-apply`
    among it. Codes and alerts go to the person whom --channel and --target name. Twice changes
    nothing.
    """
    from pveops.config.profiles import choose_profile
    from pveops.openclaw.host import Host
    from pveops.openclaw.state import read_state
    from pveops.openclaw.steps import Wish, list_steps

    if is_applied:
        refuse_agents(call, "sets up what it may run unasked")
    if bool(channel) != bool(target):
        raise UsageError("--channel and --target go together")
    name, profile = choose_profile(call.wiring.paths, call.options.profile)
    known = profile.consent.openclaw_channel, profile.consent.openclaw_target
    channel, target = (channel, target) if target else known
    has_broker = bool(profile.broker_socket)
    wish = Wish(
        pve=call.program_file,
        agent=agent,
        home=call.environ.get("PVE_HOME", ""),
        profile=call.options.profile,
        channel=channel,
        target=target,
        # The plugin signs with a key of the agent's account, and the broker takes none of that.
        plugin_folder="" if without_plugin or has_broker else str(_plugin_folder(call)),
        keeps_exec_mode=keep_exec_mode,
        has_broker=has_broker,
        look=make_look(call, name, every, (channel, target), wakes=wake) if target else None,
    )
    host = Host()
    steps = list_steps(wish, read_state(host, wish, _own(call, wish)))
    if not is_applied:
        return _told(call, steps)
    done = sum(step.is_done for step in steps)
    changed = len(steps) - done
    if not changed:
        return Answer(f"already so: all {count_of(len(steps), 'step')}", blocks=(_places(call),))
    for step in steps:
        if not step.is_done:
            _take(call, host, step, done, len(steps))
            done += 1
    _check_done(list_steps(wish, read_state(host, wish, _own(call, wish))))
    return Answer(
        f"done: {changed} of {count_of(len(steps), 'step')}; the rest was so already",
        changed=True,
        data={"steps": [_row(step) for step in steps]},
        blocks=(Lines(tuple(f"done: {s.what}" for s in steps if not s.is_done)), _places(call)),
        next=("openclaw gateway restart   # where it runs as a service", "pve doctor"),
    )


def refuse_agents(call: Call, what: str) -> None:
    """Raises PolicyRefusedError in a shell that an agent's program has opened.

    Somebody who attacks can leave its marks out; who is only steered does not.
    """
    from pveops.context import is_agents_shell

    if is_agents_shell(call.environ):
        raise PolicyRefusedError(f"no agent {what}", hint="ask your human to run it")


def _own(call: Call, wish: Wish) -> Own:
    from pveops.config.profiles import choose_profile
    from pveops.openclaw.state import Own

    consent = choose_profile(call.wiring.paths, call.options.profile)[1].consent
    return Own(
        told=(consent.openclaw_channel, consent.openclaw_target),
        has_key=call.wiring.paths.approval_key_file.exists(),
        has_skill=not wish.plugin_folder and _has_skill(call),
        has_script=wish.look is not None and _has_script(wish.look),
    )


def _has_script(look: Look) -> bool:
    file = Path(look.script_file)
    return bool(look.script_file) and file.is_file() and file.read_text("utf-8") == look.script


def _has_skill(call: Call) -> bool:
    from pveops.cli.skill import stand_of

    return stand_of(call, "openclaw").standing.is_current


def _check_done(steps: Sequence[Step]) -> None:
    """That OpenClaw says so too, now. Raises ConfigError."""
    left = [step for step in steps if not step.is_done]
    if left:
        raise ConfigError(
            f"all commands ran, and OpenClaw does not show the effect of {len(left)}: "
            f"{'; '.join(step.what for step in left)}",
            hint=left[0].command,
        )


def _told(call: Call, steps: Sequence[Step]) -> Answer:
    lines = []
    for step in steps:
        lines.append(f"{'done ' if step.is_done else 'to do'}  {step.what}")
        if not step.is_done:
            lines.append(f"       {step.command}")
    left = sum(not step.is_done for step in steps)
    told = f"{left} of {count_of(len(steps), 'step')} to do" if left else "everything is set up"
    next_ = ("pve openclaw setup --apply   # with the same options",) if left else ()
    return Answer(
        told,
        data={"steps": [_row(step) for step in steps]},
        blocks=(Lines(tuple(lines)), _places(call)),
        next=next_,
    )


def _row(step: Step) -> dict[str, object]:
    return {"what": step.what, "is_done": step.is_done, "command": step.command}


def _places(call: Call) -> Facts:
    """Where things lie that the agent's account can reach."""
    paths = call.wiring.paths
    return Facts(
        (
            ("configuration", str(paths.config_file)),
            ("policy", str(paths.policy_file)),
            ("secrets", str(paths.secrets_dir)),
            ("logs", str(paths.audit_file.parent)),
        )
    )


def _plugin_folder(call: Call) -> Path:
    return call.wiring.paths.data_dir / "openclaw-plugin"


def make_look(
    call: Call, profile: str, every: str, person: tuple[str, str], *, wakes: bool
) -> Look:
    """The monitor's regular look; nothing is written."""
    from pveops.cli.monitor_install import read_minutes
    from pveops.openclaw.jobs import Look

    look = Look(
        pve=call.program_file,
        profile=profile,
        minutes=read_minutes(every),
        channel=person[0],
        target=person[1],
        home=call.environ.get("PVE_HOME", ""),
    )
    file = call.wiring.paths.state_dir / f"openclaw-watch-{profile}.js"
    return look._replace(script_file=str(file)) if wakes else look


def write_script(look: Look) -> bool:
    """Put the script that wakes the agent where its job looks for it; whether it was not so."""
    from pveops.config.paths import write_private_file

    if _has_script(look):
        return False
    write_private_file(Path(look.script_file), look.script.encode())
    return True


def _take(call: Call, host: Host, step: Step, done: int, total: int) -> None:
    call.stderr.write(f"{step.command}\n")
    try:
        if step.program == "openclaw":
            host.run(step.words)
        else:
            _run_pve(call, step)
    except ConfigError as error:
        raise ConfigError(
            f"{done} of {total} steps are done; this one failed: {step.what}: {error.message}",
            hint=f"{error.hint}; then run this again, it goes on from here",
        ) from error


def _run_pve(call: Call, step: Step) -> None:
    from pveops.config.programs import ask_program

    words = (call.program_file, *step.words)
    ended = ask_program(words, timeout_s=_STEP_S, hint=step.command)
    if ended.returncode != 0:
        raise ConfigError(f"{ended.stdout.strip()[:300]}", hint=step.command)


@group.command(
    "plugin",
    operation="openclaw.plugin",
    examples=("pve openclaw plugin ~/.local/share/pveops/openclaw-plugin",),
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def plugin(call: Call, folder: Path) -> Answer:
    """Put the plugin together in FOLDER: its code, and the skill; to be installed from there."""
    from pveops.openclaw.plugin_folder import write_plugin

    del call
    place = folder.expanduser().absolute()
    changed = write_plugin(place)
    install = f"openclaw plugins install {place} --force --accept-capabilities"
    told = "done: the plugin is in" if changed else "already so: the plugin is in"
    return Answer(f"{told} {place}", changed=changed, data={"folder": str(place)}, next=(install,))


@group.command("wake-script", operation="openclaw.wake-script")
@click.pass_obj
def wake_script(call: Call) -> Answer:
    """Write the script by which the monitor's news wake the agent; a job of OpenClaw's runs it."""
    from pveops.config.profiles import choose_profile

    refuse_agents(call, "writes what wakes it")
    name, _ = choose_profile(call.wiring.paths, call.options.profile)
    look = make_look(call, name, "5m", ("", ""), wakes=True)
    changed = write_script(look)
    told = f"{'done' if changed else 'already so'}: the script is {look.script_file}"
    next_ = ("pve openclaw setup --wake",)
    return Answer(told, changed=changed, data={"file": look.script_file}, next=next_)


@group.command(
    "tell",
    operation="openclaw.tell",
    examples=("pve openclaw tell telegram 1234",),
)
@click.argument("channel")
@click.argument("target")
@click.pass_obj
def tell(call: Call, channel: str, target: str) -> Answer:
    """Let codes and alerts of a profile go to TARGET over OpenClaw's CHANNEL."""
    from pveops.config.profiles import ConsentConfig, choose_profile, load_config, save_config

    paths = call.wiring.paths
    name, profile = choose_profile(paths, call.options.profile)
    before = profile.consent
    if (before.openclaw_channel, before.openclaw_target) == (channel, target):
        return Answer(f"already so: {name} tells {target} over {channel}")
    refuse_agents(call, "chooses where consent codes go")
    if profile.broker_socket:
        raise ConfigError(
            f"codes of {name} go the broker's way",
            hint="its owner sets that: docs/howto/broker.md",
        )
    config = load_config(paths)
    if config is None or before.sender or before.apprise_file:
        raise ConfigError(
            f"the profile {name} tells the person in another way",
            hint=f"change `consent` in {paths.config_file}",
        )
    after = profile._replace(
        consent=ConsentConfig(openclaw_channel=channel, openclaw_target=target)
    )
    save_config(paths, config._replace(profiles={**config.profiles, name: after}))
    return Answer(
        f"done: codes and alerts of {name} go to {target} over {channel}",
        changed=True,
        data={"profile": name, "channel": channel, "target": target},
        blocks=(Facts((("file", str(paths.config_file)),)),),
        next=("pve doctor",),
    )

"""Ways in which a message reaches a person: a command of theirs, OpenClaw, or Apprise."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from pveops.config.private_files import read_private_file
from pveops.config.profiles import ConsentConfig
from pveops.errors import ConfigError

_TIMEOUT_S = 6
_OPENCLAW_S = 30
"""OpenClaw's own command takes seconds to start."""
_HINT = "check `consent` of the profile with `pve doctor`"

Sender = Callable[[str], None]
"""Delivers one message to the person; raises ConfigError when it cannot."""


def make_sender(config: ConsentConfig) -> Sender | None:
    """The sender that a profile names; None: it names none."""
    if config.sender:
        return command_sender(config.sender)
    if config.openclaw_target:
        return openclaw_sender(config.openclaw_channel, config.openclaw_target)
    if config.apprise_file:
        return apprise_sender(Path(config.apprise_file).expanduser())
    return None


def find_flaw(config: ConsentConfig) -> str:
    """What keeps the sender from being run at all; empty: nothing that can be seen beforehand."""
    import importlib.util
    import shutil

    if config.sender:
        program = config.sender[0]
        # A bare name is looked for in the PATH of whoever sends, which need not be ours.
        is_missing = "/" in program and not shutil.which(program)
        return f"{program} is not there, or not executable" if is_missing else ""
    if config.openclaw_target:
        return "" if shutil.which("openclaw") else "openclaw is not there, or not executable"
    if not config.apprise_file:
        return ""
    if importlib.util.find_spec("apprise") is None:
        return "Apprise is not installed (pip install apprise)"
    file = Path(config.apprise_file).expanduser()
    return "" if file.exists() else f"{file} is not there"


def command_sender(command: Sequence[str]) -> Sender:
    """A sender that runs `command` with the message on its standard input."""

    def send(message: str) -> None:
        _run(list(command), message.encode(), _TIMEOUT_S)

    return send


def openclaw_sender(channel: str, target: str) -> Sender:
    """OpenClaw's message command, which takes the text as an argument.

    For a moment other accounts of this machine can see it in the list of processes; a code is of
    no use without access to our store, and fits one plan.
    """

    def send(message: str) -> None:
        words = ["--channel", channel, "--target", target, "--message", message]
        _run(["openclaw", "message", "send", *words], b"", _OPENCLAW_S)

    return send


def apprise_sender(file: Path) -> Sender:
    """Apprise, with the URLs in a private file: one a line, since they hold passwords."""

    def send(message: str) -> None:
        try:
            import apprise
        except ImportError as error:
            raise ConfigError("Apprise is not installed", hint="pip install apprise") from error
        content = read_private_file(file, "the file with Apprise URLs", f"chmod 600 {file}")
        urls = [line.strip() for line in content.decode(errors="replace").splitlines()]
        notifier = apprise.Apprise()
        for url in urls:
            if url and not url.startswith("#") and not notifier.add(url):
                raise ConfigError(f"{file} holds a line that Apprise does not take", hint=_HINT)
        if not len(notifier):
            raise ConfigError(f"{file} holds no URL", hint=_HINT)
        if not notifier.notify(body=message, body_format=apprise.NotifyFormat.TEXT):
            raise ConfigError("Apprise could not deliver the message", hint=_HINT)

    return send


def _run(command: list[str], stdin: bytes, timeout_s: float) -> None:
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        # The error of a timeout quotes the command, and with it the message.
        why = "it takes too long" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        raise ConfigError(f"{command[0]} could not send the message: {why}", hint=_HINT) from None
    if done.returncode != 0:
        text = done.stderr.decode(errors="replace").strip()[:200]
        raise ConfigError(
            f"the message could not be sent: {command[0]} ended with {done.returncode}: {text}",
            hint=_HINT,
        )

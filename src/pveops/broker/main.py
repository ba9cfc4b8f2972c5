"""`pve-broker`: serve, check, unit, install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pveops.broker.service import ACCOUNT, FOLDER, HOME, SOCKET, UNIT, system_unit, user_unit
from pveops.errors import ConfigError, PveopsError

if TYPE_CHECKING:
    from pveops.broker.placing import Owner

_REFUSED = 4
_ANSWER_S = 3.0
_USERADD, _NO_SHELL = "/usr/sbin/useradd", "/usr/sbin/nologin"
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "PVE_HOME", "HOME", "XDG_CONFIG_HOME")
"""All that a request's process gets of the service's environment."""


def main() -> int:
    """The executable."""
    try:
        code = command.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except click.Abort:
        return 130
    except PveopsError as error:
        sys.stderr.write(f"error {error.code}: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"next: {error.hint}\n")
        return error.exit_code
    return int(code or 0)


@click.group(
    name="pve-broker",
    help="The broker: an account of its own that changes clusters for agents, after consent.",
    epilog="Its folder is $PVE_HOME: config.yaml, policy.yaml, broker.yaml, secrets, the store, "
    "the audit log. docs/howto/broker.md sets one up.",
)
def command() -> None:
    """The root of the commands."""


@command.command()
@click.option("--socket", "path", type=click.Path(path_type=Path), default=SOCKET)
def serve(path: Path) -> int:
    """Answer requests until told to stop."""
    from pveops.broker.boundary import find_flaws
    from pveops.broker.server import Broker
    from pveops.broker.settings import load_settings

    if os.geteuid() == 0:
        sys.stderr.write("error: the broker does not run as root; give it an account of its own\n")
        return _REFUSED
    folder = _folder()
    settings = load_settings(folder)
    for flaw in find_flaws(folder, settings):
        sys.stderr.write(f"pve-broker: no boundary: {flaw.text} ({flaw.fix})\n")
    environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
    os.umask(0o077)
    Broker(path, settings, environ).serve()
    return 0


@command.command()
@click.option("--socket", "path", type=click.Path(path_type=Path), default=None)
def check(path: Path | None) -> int:
    """Tell whether it is a boundary, and what keeps it from being one (exit 4)."""
    from pveops.broker.boundary import find_flaws
    from pveops.broker.peer import account_name
    from pveops.broker.settings import load_settings

    folder = _folder()
    settings = load_settings(folder)
    flaws = list(find_flaws(folder, settings))
    clients = ", ".join(account_name(uid) for uid in sorted(settings.clients))
    own = path or (_user_socket() if folder == _user_home() else SOCKET)
    running = "" if _answers(own) else f"; not running: nothing answers at {own}"
    if not flaws:
        click.echo(
            f"level G3: {account_name(os.geteuid())} keeps {folder} to itself; "
            f"clients: {clients}{running}"
        )
        return 0
    click.echo(f"not level G3: {len(flaws)} flaws; clients: {clients}{running}")
    for flaw in flaws:
        click.echo(f"problem {flaw.text} -> {flaw.fix}")
    return _REFUSED


def _answers(path: Path) -> bool:
    """Whether somebody listens there."""
    import socket

    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_S)
            connection.connect(str(path))
    except OSError:
        return False
    return True


@command.command()
@click.option("--user", "for_user", is_flag=True, help="For a broker under your own account.")
def unit(for_user: bool) -> int:
    """Print the systemd unit."""
    click.echo(_user_unit() if for_user else system_unit(_program()), nl=False)
    return 0


@command.command()
@click.option("--client", "clients", multiple=True, required=True, help="An account that may ask.")
@click.option("--user", "for_user", is_flag=True, help="Under your own account: no boundary.")
def install(clients: tuple[str, ...], for_user: bool) -> int:
    """Make the broker's account, folder and unit; running it twice changes nothing."""
    if for_user:
        return _install_for_user(clients)
    if os.geteuid() != 0:
        sys.stderr.write(
            "error: an account can be made by root only\n"
            "next: sudo pve-broker install --client ACCOUNT; or, without a boundary, "
            "pve-broker install --user\n"
        )
        return _REFUSED
    from pveops.broker.placing import write_once
    from pveops.broker.program import check_installable
    from pveops.config.paths import write_public_file

    program = _program()
    settings = _settings_text(clients)
    owner = _make_account()
    check_installable(program, ACCOUNT)
    write_once(FOLDER / "broker.yaml", settings, owner)
    write_public_file(UNIT, system_unit(program).encode())
    click.echo(f"{ACCOUNT} has {FOLDER}; the unit is {UNIT}")
    _tell_the_rest(program)
    return 0


def _tell_the_rest(program: Path) -> None:
    """The commands that are left, with whole paths: sudo has a PATH of its own."""
    as_broker = f"sudo -Hu {ACCOUNT} env PVE_HOME={FOLDER}"
    pve = program.with_name("pve")
    for line in (
        f"{as_broker} {pve} init HOST",
        f"{as_broker} {pve} secrets add 'USER@REALM!NAME'   # the token that may change things",
        "sudo systemctl daemon-reload && sudo systemctl enable --now pve-broker",
        f"{as_broker} {program} check",
        f"# in the client's config.yaml, in its profile: broker: {SOCKET}",
    ):
        click.echo(f"next: {line}")


def _install_for_user(clients: tuple[str, ...]) -> int:
    from pveops.broker.placing import write_once
    from pveops.config.paths import write_public_file

    home, path = _user_home(), _user_unit_file()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_once(home / "broker.yaml", _settings_text(clients))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_public_file(path, _user_unit().encode())
    click.echo(f"the broker's folder is {home}; the unit is {path}")
    click.echo("no boundary: whoever can use your account can read what the broker keeps")
    click.echo(f"next: PVE_HOME={home} pve init HOST")
    click.echo(f"next: PVE_HOME={home} pve secrets add 'USER@REALM!NAME'")
    click.echo("next: systemctl --user daemon-reload && systemctl --user enable --now pve-broker")
    return 0


def _make_account() -> Owner:
    import pwd

    from pveops.broker.placing import Owner, own_folder

    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        subprocess.run(
            [_USERADD, "--system", "--home-dir", str(HOME), "--shell", _NO_SHELL, ACCOUNT],
            check=True,
        )
    entry = pwd.getpwnam(ACCOUNT)
    owner = Owner(entry.pw_uid, entry.pw_gid)
    for folder in (HOME, FOLDER):
        own_folder(folder, owner)
    return owner


def _settings_text(clients: tuple[str, ...]) -> str:
    from pveops.broker.peer import account_uid

    unknown = [name for name in clients if account_uid(name) is None]
    if unknown:
        raise click.ClickException(f"there is no account {', '.join(unknown)}")
    return f"# Who may ask the broker, beside root.\nclients: [{', '.join(clients)}]\n"


def _folder() -> Path:
    from pveops.config.paths import find_paths

    if not os.environ.get("PVE_HOME"):
        raise ConfigError(
            "PVE_HOME is not set: the broker keeps all that it has in one folder",
            hint=f"PVE_HOME={_user_home() if _user_unit_file().exists() else FOLDER}",
        )
    return find_paths(os.environ).config_file.parent


def _user_home() -> Path:
    return Path.home() / ".local/state/pve-broker"


def _user_unit_file() -> Path:
    return Path.home() / ".config/systemd/user/pve-broker.service"


def _user_socket() -> Path:
    return Path(os.environ.get("XDG_RUNTIME_DIR") or _user_home()) / "pve-broker.socket"


def _user_unit() -> str:
    return user_unit(_program(), _user_home(), _user_socket())


def _program() -> Path:
    """The executable that runs now."""
    return Path(sys.argv[0]).resolve()

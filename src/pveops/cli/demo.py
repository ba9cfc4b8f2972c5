"""`pve demo`: a simulated cluster to try everything on, and a tour through it."""

from __future__ import annotations

from pathlib import Path

import click

from pveops.cli.answer import Answer
from pveops.cli.call import Call
from pveops.cli.commands import Group
from pveops.errors import ConfigError, InternalError, UsageError

_READY_S = 15.0
_LOOK_S = 0.2
command = Group("demo", help="A simulated cluster: serve, use, tour.")


@command.command("serve", examples=("pve demo serve --seed homelab --ready-file ready.json",))
@click.option("--seed", default="homelab", show_default=True, help="homelab, recorded or scale-N.")
@click.option("--pve-version", default="9.2", show_default=True, help="8.4, 9.0, 9.1 or 9.2.")
@click.option("--port", type=int, default=0, help="The first node's port; 0: any that is free.")
@click.option("--ready-file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--scale", type=float, default=1.0, help="Simulated seconds in a real one.")
@click.option("--auth-delay", type=float, default=3.0, help="Seconds that a failed login takes.")
def serve(
    seed: str,
    pve_version: str,
    port: int,
    ready_file: Path | None,
    scale: float,
    auth_delay: float,
) -> None:
    """Serve a simulated cluster until it is told to end (SIGTERM, Ctrl-C).

    The ready file appears once everything answers; it holds the endpoints, the CA file, the
    password of root@pam, an agent's token, and the control port.
    """
    from pveops.sim.serve import serve as run

    if scale <= 0:
        raise UsageError("--scale is larger than 0")
    run(seed, pve_version, port, ready_file, scale=scale, auth_delay_s=auth_delay)


@command.command("use", examples=("pve demo use ready.json",))
@click.argument("ready_file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--read-only", is_flag=True, help="With the token that only reads.")
@click.option("--broker", default="", metavar="SOCKET", help="The broker that changes things.")
@click.option("--name", default="demo", show_default=True, help="What the profile is called.")
@click.option(
    "--sender",
    multiple=True,
    metavar="WORD",
    help="A word of the command that takes consent codes to a person; may be repeated.",
)
@click.pass_obj
def use(
    call: Call, ready_file: Path, read_only: bool, broker: str, name: str, sender: tuple[str, ...]
) -> Answer:
    """Make a profile for a simulated cluster that is being served; `-` reads standard input."""
    import json

    from pveops.config.paths import write_private_file
    from pveops.config.profiles import (
        Config,
        ConsentConfig,
        EndpointConfig,
        Profile,
        load_config,
        save_config,
    )
    from pveops.config.secrets import save_token

    try:
        text = call.stdin.read() if str(ready_file) == "-" else _read_when_there(call, ready_file)
        ready = json.loads(text)
        ca_pem = str(ready["ca_pem"]).encode()
        addresses = [endpoint.removeprefix("https://") for endpoint in ready["endpoints"]]
        token = ready["reader" if read_only else "token"]
        token_id, secret = token["id"], token["secret"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{ready_file} is no ready file of a running simulated cluster: {error}",
            hint="pve demo serve --ready-file FILE",
        ) from error
    if not token_id:
        raise UsageError("this seed has no token", hint="serve homelab, or scale-N")
    paths = call.wiring.paths
    write_private_file(paths.config_dir / f"{name}-ca.pem", ca_pem)
    profile = Profile(
        endpoints=tuple(EndpointConfig(address) for address in addresses),
        trust="ca",
        ca_file=f"{name}-ca.pem",
        token_file=f"{name}-token.txt",
        consent=ConsentConfig(sender=sender),
        broker=broker,
    )
    config = load_config(paths) or Config()
    config = config._replace(
        default=config.default or name, profiles={**config.profiles, name: profile}
    )
    save_config(paths, config)
    save_token(paths, name, profile, token_id, secret, now=call.clock.now())
    return Answer(
        f"the profile {name!r} leads to the simulated cluster",
        data={"profile": name, "endpoints": addresses},
        next=(f"pve status --profile {name}",),
    )


def _read_when_there(call: Call, ready_file: Path) -> str:
    """The file's text; a server that was started a moment ago may still have to write it."""
    deadline = call.clock.monotonic() + _READY_S
    if not ready_file.exists():
        call.stderr.write(f"waiting up to {_READY_S:.0f} s for {ready_file}\n")
        call.stderr.flush()
    while not ready_file.exists() and call.clock.monotonic() < deadline:
        call.clock.sleep(_LOOK_S)
    return ready_file.read_text()


@command.command("tour")
@click.option("--pve-version", default="9.2", show_default=True, help="8.4, 9.0, 9.1 or 9.2.")
@click.pass_obj
def tour(call: Call, pve_version: str) -> None:
    """Walk through the main job on a simulated cluster: look, plan, consent, apply, verify."""
    from pveops.cli.tour import walk

    if walk(call.stdout, pve_version):
        raise InternalError("a step of the tour did not end as it should")

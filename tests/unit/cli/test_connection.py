"""From the configuration on disk to a cluster: what is tried, and what is refused before that."""

from __future__ import annotations

import io
import secrets
import socket
from pathlib import Path

import pytest

from pveops.cli.call import Call
from pveops.cli.connection import connect_profile, endpoints_of
from pveops.cli.process import run_call
from pveops.clock import VirtualClock
from pveops.config.paths import find_paths
from pveops.config.profiles import Config, EndpointConfig, Profile, save_config
from pveops.config.secrets import save_token
from pveops.errors import ConfigError

PIN = ":".join(["AB"] * 32)


@pytest.fixture
def environ(tmp_path) -> dict[str, str]:
    return {"PVE_HOME": str(tmp_path / "pve"), "HOME": str(tmp_path / "home")}


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def store(environ: dict[str, str], profile: Profile, *, token: bool = True) -> str:
    """Write the configuration, and a token of which the secret is returned."""
    paths = find_paths(environ)
    save_config(paths, Config("home", {"home": profile}))
    secret = secrets.token_hex(16)
    if token:
        save_token(paths, "home", profile, "ops@pve!agent", secret, now=VirtualClock().now())
    return secret


def make_call(environ: dict[str, str], *arguments: str) -> Call:
    streams = {name: io.StringIO() for name in ("stdin", "stdout", "stderr")}
    return Call("pve", arguments, environ=environ, clock=VirtualClock(), **streams)


def run(environ: dict[str, str], *arguments: str) -> tuple[int, str]:
    call = make_call(environ, *arguments)
    code = run_call(call)
    return code, call.stdout.getvalue()  # type: ignore[attr-defined]


def pinned(*ports: int, **more: object) -> Profile:
    endpoints = tuple(EndpointConfig(f"127.0.0.1:{port}", pin=PIN) for port in ports)
    return Profile(endpoints, trust="pin", **more)  # type: ignore[arg-type]


def test_an_endpoint_that_does_not_answer_exits_with_12(environ, closed_port):
    secret = store(environ, pinned(closed_port))
    code, out = run(environ, "guest", "list")
    assert code == 12, out
    assert f"127.0.0.1:{closed_port} cannot be reached" in out
    assert secret not in out


def test_a_read_leaves_nothing_but_the_cache_behind(environ, closed_port):
    store(environ, pinned(closed_port))
    before = {path.name for path in Path(environ["PVE_HOME"]).iterdir()}
    run(environ, "guest", "list")
    after = {path.name for path in Path(environ["PVE_HOME"]).iterdir()}
    assert after - before <= {"cache"}


def test_a_changed_pin_keeps_the_token_at_home(environ, closed_port):
    store(environ, pinned(closed_port))
    other = EndpointConfig(f"127.0.0.1:{closed_port}", pin=PIN.replace("AB", "CD"))
    save_config(find_paths(environ), Config("home", {"home": Profile((other,), trust="pin")}))
    code, out = run(environ, "guest", "list")
    assert code == 7, out
    assert out.startswith("error E_SECRET: ")


def test_a_missing_token_names_the_command_that_stores_one(environ, closed_port):
    store(environ, pinned(closed_port), token=False)
    code, out = run(environ, "guest", "list")
    assert code == 7
    assert "pve secrets add" in out.splitlines()[-1]


def test_an_unknown_profile_names_the_known_ones(environ, closed_port):
    store(environ, pinned(closed_port))
    code, out = run(environ, "guest", "list", "--profile", "nope")
    assert code == 7
    assert "home" in out.splitlines()[-1]


def test_a_missing_ca_is_a_configuration_error(environ):
    profile = Profile((EndpointConfig("127.0.0.1"),), ca_file="gone.pem")
    with pytest.raises(ConfigError) as caught:
        endpoints_of(find_paths(environ), profile)
    assert "gone.pem" in caught.value.message


def test_a_password_is_asked_for_at_a_terminal_only(environ, closed_port):
    store(environ, pinned(closed_port, user="anna@pve"), token=False)
    code, out = run(environ, "guest", "list")
    assert code == 7
    assert "at a terminal" in out


def test_a_profile_can_make_every_caller_an_agent(environ, closed_port):
    """It takes the person away and never gives it."""
    store(environ, pinned(closed_port, actor="unattended"))
    call = make_call(environ, "guest", "list")
    assert call.actor.kind == "agent"
    assert call.wiring.session().actor.kind == "unattended"


def test_plans_are_bound_to_endpoints_and_trust(environ, closed_port):
    store(environ, pinned(closed_port))
    call = make_call(environ)
    one = connect_profile(call, call.wiring).cluster
    save_config(find_paths(environ), Config("home", {"home": pinned(closed_port, 8006)}))
    store(environ, pinned(closed_port, 8006))
    call = make_call(environ)
    assert connect_profile(call, call.wiring).cluster != one

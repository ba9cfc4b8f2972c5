"""Tokens from a command: what it is asked, what it may answer, and what is never shown."""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import pytest

from pveops.config.paths import Paths
from pveops.config.profiles import EndpointConfig, Profile, TierToken, binding_of
from pveops.config.resolver import resolve_token
from pveops.config.secrets import list_secret_statuses, load_token, save_token
from pveops.errors import ConfigError, SecretError
from pveops.redact import redact

NOW = 1_800_000_000.0
TOKEN_ID = "ops@pve!agent"
PLACE = (EndpointConfig("pve1.lan:8006"),)


def script(folder: Path, body: str) -> tuple[str, ...]:
    """A command that runs these lines; `asked` is the request."""
    file = folder / "resolver.py"
    file.write_text(f"import json, sys\nasked = json.load(sys.stdin)\n{body}\n")
    return (sys.executable, str(file))


def answering(folder: Path, answer: Any) -> tuple[str, ...]:
    """A command that answers so; the answer lies in a file that is read at once and deleted."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return script(folder, f"print(bytes.fromhex({text.encode().hex()!r}).decode())")


def good(**changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "token_id": TOKEN_ID,
        "secret": secrets.token_hex(16),
        "bound": "here",
        **changes,
    }


def test_the_command_is_asked_for_a_profile_and_a_tier(tmp_path: Path) -> None:
    body = (
        "json.dump({'version': 1, 'token_id': 'a@pve!t%d' % asked['tier'], 'bound': 'x',"
        "'secret': asked['profile'] * 3 + str(asked['version'])}, sys.stdout)"
    )
    found = resolve_token(script(tmp_path, body), "home", 2)
    assert (found.token_id, found.secret, found.expires) == ("a@pve!t2", "homehomehome1", 0)


def test_the_secret_is_known_to_the_last_filter_and_not_shown(tmp_path: Path) -> None:
    answer = good()
    found = resolve_token(answering(tmp_path, answer), "home", 0)
    assert answer["secret"] not in repr(found)
    assert answer["secret"] not in redact(f"see {answer['secret']}")


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    marker = tmp_path / "made"
    with pytest.raises(ConfigError, match="cannot be started"):
        resolve_token((f"true; touch {marker}",), "home", 0)
    assert not marker.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": "1"},
        {"token_id": "nobody"},
        {"token_id": None},
        {"bound": ""},
        {"bound": None},
        {"expires": -1},
        {"expires": True},
        {"expires": "soon"},
    ],
    ids=str,
)
def test_a_wrong_answer_is_refused_without_being_quoted(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    answer = good(**changes)
    with pytest.raises(ConfigError) as caught:
        resolve_token(answering(tmp_path, answer), "home", 0)
    shown = f"{caught.value.message} {caught.value.hint} {caught.value.details}"
    assert answer["secret"] not in shown
    assert caught.value.__cause__ is None
    assert "secrets.md" in caught.value.hint


@pytest.mark.parametrize("text", ["", "no json HUSH", "[]", '"HUSH"', "{", "[" * 100_000, "{}"])
def test_what_is_no_answer_is_refused_without_being_quoted(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_token(answering(tmp_path, text), "home", 0)
    assert "HUSH" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("secret", ["", "a b c d e", "line\nline", "x" * 5000, 7, None, "a;b;c;d"])
def test_a_secret_that_pve_could_not_have_made_is_refused(tmp_path: Path, secret: Any) -> None:
    with pytest.raises(ConfigError):
        resolve_token(answering(tmp_path, good(secret=secret)), "home", 0)


def test_what_a_command_complains_of_is_not_shown(tmp_path: Path) -> None:
    command = script(tmp_path, "sys.stderr.write('HUSH'); print('HUSH'); sys.exit(3)")
    with pytest.raises(ConfigError, match="ended with 3") as caught:
        resolve_token(command, "home", 0)
    assert "HUSH" not in f"{caught.value.message} {caught.value.hint}"


def test_a_command_that_waits_is_ended_with_its_children(tmp_path: Path) -> None:
    """The child holds a pipe of ours open for as long as it lives."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    child = f"import signal; held = open({str(fifo)!r}, 'w'); held.write('x'); held.flush(); "
    body = (
        "import signal, subprocess\n"
        f"subprocess.Popen([sys.executable, '-c', {child + 'signal.pause()'!r}])\n"
        "signal.pause()"
    )
    with pytest.raises(ConfigError, match="no answer within"):
        resolve_token(script(tmp_path, body), "home", 0, timeout_s=2.0)
    os.set_blocking(held, True)
    with open(held, "rb") as stream:  # noqa: PTH123 - a descriptor
        assert stream.read() == b"x", "the end of the pipe is that of the child"


def test_a_token_is_sent_to_the_place_that_its_record_names_only(
    tmp_path: Path, paths: Paths
) -> None:
    profile = Profile(PLACE, trust="system")
    answer = good(bound=binding_of(paths, profile))
    profile = profile._replace(token_command=answering(tmp_path, answer))
    assert load_token(paths, "home", profile, NOW).secret == answer["secret"]
    moved = profile._replace(endpoints=(EndpointConfig("evil.example:8006"),))
    with pytest.raises(SecretError, match="another place") as caught:
        load_token(paths, "home", moved, NOW)
    assert answer["secret"] not in f"{caught.value.message} {caught.value.hint}"


def test_an_expired_token_of_a_command_is_refused(tmp_path: Path, paths: Paths) -> None:
    profile = Profile(PLACE, trust="system")
    answer = good(bound=binding_of(paths, profile), expires=int(NOW) - 1)
    with pytest.raises(SecretError, match="expired"):
        load_token(paths, "home", profile._replace(token_command=answering(tmp_path, answer)), NOW)


def test_a_token_of_a_command_is_stored_nowhere_else(tmp_path: Path, paths: Paths) -> None:
    profile = Profile(PLACE, trust="system", token_command=answering(tmp_path, good()))
    with pytest.raises(ConfigError, match="from the command"):
        save_token(paths, "home", profile, TOKEN_ID, secrets.token_hex(16), now=NOW)
    assert not paths.secrets_dir.exists()


TIERS = Profile(
    PLACE, trust="system", tier_tokens=(TierToken(1, "one.txt"), TierToken(2, "two.txt"))
)


def test_each_tier_has_the_token_of_the_lowest_tier_that_is_high_enough(paths: Paths) -> None:
    profile = TIERS._replace(tier_tokens=(TierToken(2, "two.txt"),))
    for tier, name in ((0, "read"), (2, "change")):
        save_token(
            paths, "home", profile, f"a@pve!{name}", secrets.token_hex(16), now=NOW, tier=tier
        )
    names = [load_token(paths, "home", profile, NOW, tier).token_id for tier in (0, 1, 2)]
    assert names == ["a@pve!read", "a@pve!change", "a@pve!change"]
    with pytest.raises(ConfigError, match="no token for changes of tier 3"):
        load_token(paths, "home", profile, NOW, 3)


def test_one_token_serves_every_tier(paths: Paths) -> None:
    profile = Profile(PLACE, trust="system")
    save_token(paths, "home", profile, TOKEN_ID, secrets.token_hex(16), now=NOW)
    assert {load_token(paths, "home", profile, NOW, tier).token_id for tier in range(4)} == {
        TOKEN_ID
    }


def test_every_token_is_listed_with_what_is_wrong_with_it(paths: Paths) -> None:
    save_token(
        paths, "home", TIERS, TOKEN_ID, secrets.token_hex(16), now=NOW, expires=int(NOW) + 9
    )
    found = list_secret_statuses(paths, "home", TIERS, NOW)
    assert [(tier, each.token_id) for tier, each in found] == [(0, TOKEN_ID), (1, ""), (2, "")]
    assert "does not exist" in found[1][1].problem

"""Every way of consenting: what counts for which tier, and what is refused.

Signatures are made with the real `ssh-keygen`, as a person would make them on another machine.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pveops.config.policy import ConsentRules, Grant, Hours, MinLevels, Policy, Protected
from pveops.config.profiles import ConsentConfig
from pveops.engine.apply import apply_plan, load_plan
from pveops.engine.approve import Consent
from pveops.engine.change import Change, request_change
from pveops.engine.consent_receipt import make_receipt
from pveops.engine.consent_signature import consent_text
from pveops.engine.grants import usable_grants
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.engine.senders import make_sender
from pveops.errors import ConfigError, ConsentInvalidError, PveopsError
from tests.commandline import run_line
from tests.world import START, World, make_world

KEY = b"k" * 64


def ask(world: World, operation: str = "guest.stop", name: str = "web02") -> Change:
    return request_change(world.session, Ask(operation, (name,), reason="hangs"))


# -- signatures (G4) -----------------------------------------------------------------


class Signer:
    """A person with a key on another machine."""

    def __init__(self, folder: Path, name: str = "anna") -> None:
        self.key = folder / f"id_{name}"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.key)],
            check=True,
        )
        self.line = f"{name}@example.test {self.key.with_suffix('.pub').read_text()}"

    def sign(self, text: bytes, namespace: str = "pveops-consent") -> str:
        done = subprocess.run(
            ["ssh-keygen", "-q", "-Y", "sign", "-f", str(self.key), "-n", namespace],
            input=text,
            capture_output=True,
            check=True,
        )
        return done.stdout.decode()


@pytest.fixture
def anna(tmp_path: Path) -> Signer:
    return Signer(tmp_path)


def world_of(folder: Path, signer: Signer, **levels: str) -> World:
    allowed = folder / "allowed_signers"
    allowed.write_text(signer.line)
    rules = ConsentRules(
        allowed_signers=str(allowed),
        min_level=MinLevels(**levels),  # type: ignore[arg-type]
    )
    return make_world(folder, policy=Policy(consent=rules))


def text_of(world: World, change: Change) -> bytes:
    return consent_text(*load_plan(world.session, change.plan_id))


def agree(world: World, change: Change, kind: str, text: str) -> Receipt:
    return apply_plan(world.session, change.plan_id, Consent(kind, text))  # type: ignore[arg-type]


def test_a_signature_of_exactly_this_plan_lets_it_through_once(
    tmp_path: Path, anna: Signer
) -> None:
    world = world_of(tmp_path, anna, tier3="G4")
    change = ask(world, "guest.stop", "web01")
    text = text_of(world, change)
    assert b"guest stop, tier 3" in text
    assert b"because: hangs" in text
    signature = anna.sign(text)
    with pytest.raises(ConsentInvalidError, match="level G4"):
        agree(world, change, "code", "ABCD-EFGH")
    assert (change.code, world.messages) == ("signature", [])
    receipt = agree(world, change, "signature", signature)
    assert receipt.status == "done"
    assert receipt.consent == "signature by anna@example.test"
    with pytest.raises(PveopsError):
        agree(world, change, "signature", signature)
    other = ask(world, "guest.stop", "db01")
    with pytest.raises(ConsentInvalidError, match="does not fit this plan"):
        agree(world, other, "signature", signature)


@pytest.mark.parametrize(
    "flaw", ["stranger", "namespace", "text", "empty", "garbage", "expired", "revoked"]
)
def test_what_is_no_signature_of_an_allowed_signer_is_refused(
    flaw: str, tmp_path: Path, anna: Signer
) -> None:
    world = world_of(tmp_path, anna)
    change = ask(world)
    text = text_of(world, change)
    signature = {
        "stranger": lambda: Signer(tmp_path, "eve").sign(text),
        "namespace": lambda: anna.sign(text, "file"),
        "text": lambda: anna.sign(text.replace(b"web02", b"web01")),
        "empty": lambda: "",
        "garbage": lambda: "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n",
        "expired": lambda: anna.sign(text),
        "revoked": lambda: anna.sign(text),
    }[flaw]()
    allowed = tmp_path / "allowed_signers"
    if flaw == "expired":
        name, rest = anna.line.split(" ", 1)
        allowed.write_text(f'{name} valid-before="20200101" {rest}')
    if flaw == "revoked":
        allowed.write_text(Signer(tmp_path, "bob").line)
    with pytest.raises(ConsentInvalidError):
        agree(world, change, "signature", signature)
    assert world.writes() == []


def test_without_signers_no_signature_counts(tmp_path: Path, anna: Signer) -> None:
    world = make_world(tmp_path)
    change = ask(world)
    with pytest.raises(ConsentInvalidError, match="names no allowed_signers"):
        agree(world, change, "signature", anna.sign(text_of(world, change)))


def test_the_command_prints_what_is_signed_and_takes_the_signature(
    tmp_path: Path, anna: Signer
) -> None:
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(anna.line)
    policy = f"consent:\n  allowed_signers: {allowed}\n  min_level: {{tier3: G4}}\n"
    (tmp_path / "policy.yaml").write_text(policy)
    world = make_world(tmp_path)
    outcome = run_line(world, tmp_path, "pve guest stop web01 --json")
    plan = outcome.json["plan"]["id"]
    printed = run_line(world, tmp_path, f"pve plan challenge {plan}").out
    assert printed.startswith(f"pveops consent 1\nplan {plan}\nsha256 ")
    file = tmp_path / "challenge.sig"
    file.write_text(anna.sign(printed.encode()))
    done = run_line(world, tmp_path, f"pve-apply {plan} --signature {file}")
    assert done.code == 0, done.out
    assert run_line(world, tmp_path, f"pve-apply {plan} --signature {tmp_path / 'no'}").code == 2
    assert run_line(world, tmp_path, f"pve-apply {plan} --code A --signature {file}").code == 2


# -- receipts of an agent's own prompt (G2) --------------------------------------------


def test_a_receipt_of_the_plugin_is_for_one_plan_and_for_minutes(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.session = world.session._replace(receipt_key=KEY)
    change, other = ask(world), ask(world, name="builder")
    row, _ = load_plan(world.session, change.plan_id)
    now = int(world.cluster.timeline.now())
    good = make_receipt(KEY, row.hash, "anna", now + 300)
    for bad in (
        "",
        "pr1",
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        make_receipt(b"x" * 64, row.hash, "anna", now + 300),
        make_receipt(KEY, row.hash, "anna", now - 1),
        make_receipt(KEY, row.hash, "anna", now + 10_000),
        good.replace("pr1.", "pr2."),
    ):
        with pytest.raises(ConsentInvalidError):
            agree(world, change, "receipt", bad)
    with pytest.raises(ConsentInvalidError, match="another plan"):
        agree(world, other, "receipt", good)
    assert agree(world, change, "receipt", good).status == "done"
    with pytest.raises(PveopsError):
        agree(world, change, "receipt", good)


def test_without_a_key_no_receipt_counts(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world)
    row, _ = load_plan(world.session, change.plan_id)
    receipt = make_receipt(KEY, row.hash, "anna", int(START) + 300)
    with pytest.raises(ConsentInvalidError, match="do not count here"):
        agree(world, change, "receipt", receipt)


def test_the_key_is_made_once_and_used_by_the_command(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert run_line(world, tmp_path, "pve plan approval-key").code == 0
    key = (tmp_path / "secrets" / "approval.key").read_bytes().strip()
    assert run_line(world, tmp_path, "pve plan approval-key").out.startswith("already so")
    plan = run_line(world, tmp_path, "pve guest stop web02 --json").json["plan"]["id"]
    shown = run_line(world, tmp_path, f"pve plan show {plan} --json").json["plan"]
    receipt = make_receipt(key, shown["hash"], "anna", int(world.cluster.timeline.now()) + 60)
    from tests.commandline import call_of

    call = call_of(world, tmp_path, f"pve-apply {plan} --receipt -")
    call.stdin.write(f"{receipt}\n")
    call.stdin.seek(0)
    from pveops.cli.process import run_call

    assert run_call(call) == 0


@pytest.mark.parametrize("text", ["", "\n", "abc", "k" * 64, "a" * 63])
def test_what_is_no_key_signs_no_approval(text: str, tmp_path: Path) -> None:
    """An empty key would let everybody make receipts."""
    world = make_world(tmp_path)
    file = tmp_path / "secrets" / "approval.key"
    file.parent.mkdir(mode=0o700)
    file.write_text(text)
    file.chmod(0o600)
    refused = run_line(world, tmp_path, "pve guest stop web02")
    assert refused.code == 7
    assert "is no key of 64 hex digits" in refused.out
    assert "pve plan approval-key" in refused.out
    world.session = world.session._replace(receipt_key=text.strip().encode()[:31])
    change = ask(world)
    row, _ = load_plan(world.session, change.plan_id)
    receipt = make_receipt(text.strip().encode()[:31], row.hash, "anna", int(START) + 60)
    with pytest.raises(ConsentInvalidError, match="do not count here"):
        agree(world, change, "receipt", receipt)


# -- standing grants and hours ---------------------------------------------------------

GRANT = Grant(
    operations=("guest.reboot",), until="2099-01-01", guests=Protected(tags=("web",)), per_day=2
)


def unattended(folder: Path, policy: Policy) -> World:
    world = make_world(folder, policy=policy, actor="unattended")
    world.session = world.session._replace(grants=policy.grants)
    return world


def test_a_grant_lets_named_work_through_without_anybody(tmp_path: Path) -> None:
    world = unattended(tmp_path, Policy(grants=(GRANT,)))
    change = ask(world, "guest.reboot")
    assert change.receipt is not None
    assert (change.receipt.status, change.receipt.consent) == ("done", "grant")
    ask(world, "guest.reboot")
    with pytest.raises(PveopsError, match="denies"):
        ask(world, "guest.reboot")
    world.cluster.timeline.advance(25 * 3600)
    assert ask(world, "guest.reboot").receipt is not None


@pytest.mark.parametrize(
    ("operation", "name", "change"),
    [
        ("guest.stop", "web02", {}),
        ("guest.reboot", "db02", {}),
        ("guest.reboot", "web01", {}),
        ("guest.reboot", "web02", {"until": "2020-01-01"}),
        ("guest.reboot", "web02", {"actors": ("agent",)}),
    ],
    ids=["another-operation", "another-guest", "protected", "over", "another-caller"],
)
def test_a_grant_covers_nothing_else(
    operation: str, name: str, change: dict[str, object], tmp_path: Path
) -> None:
    import msgspec

    grant = msgspec.structs.replace(GRANT, **change)
    world = unattended(tmp_path, Policy(grants=(grant,)))
    with pytest.raises(PveopsError):
        ask(world, operation, name)
    assert world.writes() == []


def test_where_signers_are_named_grants_count_when_they_are_signed(
    tmp_path: Path, anna: Signer
) -> None:
    allowed, file = tmp_path / "allowed_signers", tmp_path / "policy.yaml"
    allowed.write_text(anna.line)
    file.write_text("grants: []\n")
    policy = Policy(grants=(GRANT,), consent=ConsentRules(allowed_signers=str(allowed)))
    assert usable_grants(policy, file)[0] == ()
    file.with_name("policy.yaml.sig").write_text(anna.sign(file.read_bytes(), "pveops-policy"))
    assert usable_grants(policy, file) == ((GRANT,), "")
    file.write_text("grants: [] # more\n")
    assert usable_grants(policy, file)[0] == ()


@pytest.mark.parametrize(
    ("hours", "is_in"),
    [
        (Hours(start="08:00", end="20:00"), True),
        (Hours(start="20:00", end="06:00"), False),
        (Hours(days=("tue",)), False),
        (Hours(start="22:00", end="17:00", days=("sun",)), True),
        (Hours(start="00:00", end="01:00", zone="Asia/Tokyo"), False),
        (Hours(start="00:00", end="02:00", zone="Asia/Tokyo"), True),
    ],
)
def test_hours_are_those_of_a_zone_and_may_pass_midnight(hours: Hours, is_in: bool) -> None:
    """The simulated clock begins on Monday, 2026-11-23, at 16:28 UTC."""
    assert hours.covers(START) is is_in


def test_outside_of_the_hours_it_takes_more(tmp_path: Path) -> None:
    world = make_world(tmp_path, policy=Policy(hours=Hours(start="00:00", end="06:00")))
    change = ask(world, "guest.start", "windows-lab")
    assert change.receipt is None
    assert change.proposal.verdict is not None
    assert "outside of the policy's hours" in change.proposal.verdict.reasons[-1]


# -- ways to a person ------------------------------------------------------------------


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[bytes]]]:
    """(URL, bodies) of a web hook on this machine."""
    bodies: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"json://127.0.0.1:{server.server_address[1]}/hook", bodies
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_apprise_delivers_the_message(tmp_path: Path, inbox: tuple[str, list[bytes]]) -> None:
    url, bodies = inbox
    file = tmp_path / "apprise.txt"
    file.write_text(f"# mine\n{url}\n")
    file.chmod(0o600)
    sender = make_sender(ConsentConfig(apprise_file=str(file)))
    assert sender is not None
    sender("code: ABCD-EFGH")
    assert b"ABCD-EFGH" in bodies[0]
    file.chmod(0o644)
    with pytest.raises(PveopsError):
        sender("code: ABCD-EFGH")
    file.chmod(0o600)
    file.write_text("nonsense\n")
    with pytest.raises(ConfigError):
        sender("code: ABCD-EFGH")


def test_openclaw_is_asked_with_channel_target_and_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "openclaw"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/said\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    sender = make_sender(ConsentConfig(openclaw_channel="telegram", openclaw_target="42"))
    assert sender is not None
    sender("stop web02?")
    said = (tmp_path / "said").read_text().splitlines()
    assert said == [
        "message",
        "send",
        "--channel",
        "telegram",
        "--target",
        "42",
        "--message",
        "stop web02?",
    ]
    program.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(ConfigError, match="ended with 3"):
        sender("stop web02?")

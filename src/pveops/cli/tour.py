"""The tour: the main job on a simulated cluster, each step a real command with its real answer."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO
from urllib.request import ProxyHandler, build_opener

from pveops.errors import InternalError

_WAIT_S = 20
_GUEST = "web01"
_TEMPLATE = "debian-13-template"
_PENDING = 8
_PROBLEMS = 21
"""The monitor's exit code while a problem is open."""
_SCALE = "20"
"""How much faster time goes in the simulated cluster."""


def walk(out: TextIO, version: str) -> int:
    """Walk the tour and print it; 0 when every step ended as it should."""
    with tempfile.TemporaryDirectory(prefix="pveops-tour-") as name:
        folder = Path(name)
        environ = _surroundings(folder)
        out.write(
            f"A simulated cluster of three nodes (PVE {version}) is started on this machine.\n"
        )
        out.flush()
        with _serving(folder, version, environ) as ready:
            return _Tour(out, folder, environ, ready).walk()


def _surroundings(folder: Path) -> dict[str, str]:
    """The commands run as an agent would run them: no terminal, a home of their own."""
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL", "TZ") if key in os.environ}
    places = {"HOME": str(folder), "PVE_HOME": str(folder / "pve"), "NO_COLOR": "1"}
    return {**kept, **places, "XDG_CONFIG_HOME": str(folder / "config")}


@contextlib.contextmanager
def _serving(folder: Path, version: str, environ: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    ready = folder / "ready.json"
    words = [sys.executable, "-m", "pveops.sim", "--seed", "homelab", "--pve-version", version]
    words += ["--scale", _SCALE]
    process = subprocess.Popen([*words, "--ready-file", str(ready)], env=dict(environ))
    try:
        while not ready.exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                raise InternalError("the simulated cluster did not start")
        yield json.loads(ready.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_WAIT_S)


class _Tour:
    def __init__(
        self, out: TextIO, folder: Path, environ: Mapping[str, str], ready: Mapping[str, Any]
    ) -> None:
        self._out = out
        self._environ = environ
        self._ready = ready
        self._inbox = folder / "inbox.txt"
        self._ready_file = folder / "ready.json"
        self._failed = 0
        self._shown = 0
        """How much of the person's messages was shown."""

    def walk(self) -> int:
        """Every step in order."""
        deliver = ("sh", "-c", f"cat >> {shlex.quote(str(self._inbox))}")
        senders = [word for part in deliver for word in ("--sender", part)]
        self._run_quietly(("pve", "demo", "use", str(self._ready_file), *senders))
        self._tell_at_once()
        self._stop_a_guest()
        self._show_tasks()
        self._live_a_life()
        self._empty_a_node()
        self._step("The record is whole.", "pve audit verify")
        self._step("What it says of the last two changes.", "pve audit show --limit 4")
        self._look_on()
        verdict = "every step ended as it should" if not self._failed else f"{self._failed} failed"
        self._say(f"\nThe simulated cluster is stopped; {verdict}.\n")
        return 1 if self._failed else 0

    def _tell_at_once(self) -> None:
        """The monitor is not to wait for a minute whether something stays over.

        Nor is it to tell that the simulated cluster's clock is put forward, by minutes.
        """
        from pveops.config.paths import find_paths
        from pveops.config.profiles import MonitorConfig, load_config, save_config

        paths = find_paths(self._environ)
        config = load_config(paths)
        if config is not None:
            quick = MonitorConfig(raise_after_s=0, clear_after_s=0, clock_s=3600)
            profiles = {key: each._replace(monitor=quick) for key, each in config.profiles.items()}
            save_config(paths, config._replace(profiles=profiles))

    def _stop_a_guest(self) -> None:
        """The main job: look, plan, consent, apply once, verify."""
        self._step("What is wrong with the cluster?", "pve status")
        self._step("Which machine is it about?", f"pve find {_GUEST}")
        stop = f"pve guest stop {_GUEST} --reason 'hangs since the update'"
        self._step("An agent asks for a hard stop. It gets a plan, and exit 3.", stop, 3)
        plan, code = self._read_message()
        self._step("Without the code it goes no further.", f"pve-apply {plan} --code AAAA-2222", 4)
        apply = f"pve-apply {plan} --code {code}"
        self._step("The person agrees; the agent passes the code on.", apply)
        self._step("The same plan a second time is refused.", apply, 9)

    def _live_a_life(self) -> None:
        """The life of guests: made, kept, broken, set back, deleted, brought back."""
        policy = Path(self._environ["PVE_HOME"]) / "policy.yaml"
        policy.write_text("create_pools: [sandbox]\n")
        self._step("The policy lets agents make guests in the pool sandbox.", "pve policy show")
        clone = f"pve guest clone {_TEMPLATE} --count 3 --name 'lab-{{n}}' --pool sandbox"
        clone += " --ip '10.0.0.{n+10}/24' --gateway 10.0.0.1 --start"
        self._step("Three guests from a template, each with its own address.", clone)
        self._step("There they are.", "pve guest list --name 'lab-*'")
        self._step(
            "Keep the state before a change.", "pve snapshot create lab-1 --snapname before"
        )
        self._agree("Somebody breaks it.", "pve guest set lab-1 --memory 64M --unset net0")
        self._agree("Back to what was kept.", "pve snapshot rollback lab-1 before")
        self._agree("A guest is deleted, softly.", "pve guest delete lab-3 --timeout 60")
        self._step("It is in the trash, and can be looked at.", "pve guest trash list")
        self._step("It is not destroyed within a week.", "pve guest purge lab-3", 4)
        self._step("Somebody wanted it after all.", "pve guest undelete lab-3 --start")

    def _empty_a_node(self) -> None:
        """A node is emptied, with a look at how far it is, and filled again."""
        evacuate = "pve node evacuate pve3 --allow-restart --reason 'more memory for pve3'"
        self._step("A node is to get more memory: where would its guests go?", evacuate, 3)
        plan, code = self._read_message()
        apply = f"pve-apply {plan} --code {code} --wait 0"
        said = self._step("The person agrees; it goes on in the background.", apply, 8)
        run = next((word for word in said.split() if word.startswith("run_")), "")
        self._run(("pve", "run", "wait", run, "--wait", "1.5"))
        self._step("A moment later: how far is it?", f"pve run show {run}")
        self._wait_for(run)
        self._step("Bring them back.", "pve node return pve3 --allow-restart", 3)
        plan, code = self._read_message()
        said = self._step("The person agrees.", f"pve-apply {plan} --code {code} --wait 0", 8)
        run = next((word for word in said.split() if word.startswith("run_")), "")
        self._wait_for(run)

    def _look_on(self) -> None:
        """The cluster is watched, graphed and reported on; pages and pictures are kept."""
        self._step("The monitor looks for the first time.", "pve monitor run", _PROBLEMS)
        self._step("Nothing changed: it says nothing.", "pve monitor run", _PROBLEMS)
        self._control("nodes/pve3/off", {})
        self._control("clock", {"advance": 60})
        self._step("Somebody pulls the plug of pve3.", "pve monitor run --tell", _PROBLEMS)
        self._show_alert()
        self._control("nodes/pve3/on", {})
        self._control("clock", {"advance": 300})
        self._step("It is back, and the alert is over.", "pve monitor run", _PROBLEMS)
        self._step("How full is the storage?", "pve graph storage pve1/backups --since 7d")
        kept = Path(tempfile.mkdtemp(prefix="pveops-demo-"))
        graph = f"pve graph node pve1 --metric memory --since 1d --out {kept / 'memory.png'}"
        self._step("A picture for the chat.", graph)
        report = f"pve report --since 7d --html {kept / 'report.html'}"
        self._step("The week, for whoever asks.", report)
        self._say(f"\n-- To look at:\n   {kept / 'report.html'}\n   {kept / 'memory.png'}\n")

    def _show_alert(self) -> None:
        """The newest message to the person, which holds no code."""
        everything = self._inbox.read_text()
        text, self._shown = everything[self._shown :], len(everything)
        self._say("\n-- Meanwhile, on the person's phone:\n")
        self._say("".join(f"   {line}\n" for line in text.strip().splitlines()))
        if "node/pve3" not in text:
            self._failed += 1
            self._say("!! an alert about pve3 was expected\n")

    def _wait_for(self, run: str) -> None:
        """An agent waits in pieces: each answers in time, with exit 8 while it goes on."""
        while self._run(("pve", "run", "wait", run)).returncode == _PENDING:
            pass
        self._step("It has ended.", f"pve run wait {run}")

    def _control(self, what: str, body: Mapping[str, Any] | None = None) -> Any:
        """One call of the simulated cluster's control port."""
        data = json.dumps(body).encode() if body is not None else None
        opener = build_opener(ProxyHandler({}))
        url = f"{self._ready['control']}/{what}"
        with opener.open(url, data, timeout=_WAIT_S) as answer:
            return json.loads(answer.read() or b"null")

    def _say(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def _step(self, title: str, line: str, code: int = 0) -> str:
        """A heading, a command, and the exit code that it has to have. Gives what it said."""
        self._say(f"\n-- {title}\n$ {line}\n")
        done = self._run(shlex.split(line))
        self._say(done.stdout + done.stderr)
        self._say(f"(exit {done.returncode})\n")
        if done.returncode != code:
            self._failed += 1
            self._say(f"!! exit {code} was expected\n")
        return done.stdout

    def _agree(self, title: str, line: str) -> None:
        """A change that takes a person, who agrees."""
        self._step(title, line, 3)
        plan, code = self._read_message()
        self._step("The person agrees.", f"pve-apply {plan} --code {code}")

    def _run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name(words[0])
        return subprocess.run(
            [str(program), *words[1:]],
            env=dict(self._environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def _run_quietly(self, words: Sequence[str]) -> None:
        done = self._run(words)
        if done.returncode:
            raise InternalError(f"the tour cannot begin: {done.stdout}{done.stderr}")

    def _read_message(self) -> tuple[str, str]:
        """The message that the person gets: shown, and the plan and code in it."""
        everything = self._inbox.read_text() if self._inbox.exists() else ""
        text, self._shown = everything[self._shown :], len(everything)
        self._say("\n-- Meanwhile, on the person's phone:\n")
        self._say("".join(f"   {line}\n" for line in text.strip().splitlines()))
        plan = next((word.rstrip(",") for word in text.split() if word.startswith("pl_")), "")
        code = text.rpartition("code: ")[2].split(" ")[0].strip()
        return plan, code

    def _show_tasks(self) -> None:
        """What the cluster itself has on record."""
        self._say("\n-- The simulated cluster's own task log shows one stop.\n")
        tasks = self._control("tasks")
        stops = [task for task in tasks if ":qmstop:" in task["upid"]]
        for task in stops:
            self._say(f"{task['upid']}  {task['exitstatus']}\n")
        if len(stops) != 1:
            self._failed += 1

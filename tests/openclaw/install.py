"""A real OpenClaw, its gateway, and a person at it."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from tests.openclaw.model import Model

HERE = Path(__file__).parent
TOKEN = "example-token-of-the-gateway"
_START_TRIES = 600
_WAIT_S = 150.0
_COMMAND_S = 300.0


class OpenClaw:
    """One installation with folders of its own; `bin_dir`: where `pve` lies."""

    def __init__(self, place: Path, root: Path, bin_dir: Path, model: Model) -> None:
        self.root = root
        self.workspace = root / "ws"
        self.pve_home = root / "pve"
        self._program = place / "node_modules" / ".bin" / "openclaw"
        node = next(place.glob("node_modules/node-linux-*/bin"))
        self.node = node / "node"
        self.port = _free_port()
        state, home = root / "state", root / "home"
        for folder in (self.workspace, state, home):
            folder.mkdir(parents=True)
        path = f"{node}:{self._program.parent}:{bin_dir}:/usr/local/bin:/usr/bin:/bin"
        self.environ = {
            "PATH": path,
            "HOME": str(home),
            "PVE_HOME": str(self.pve_home),
            "OPENCLAW_HOME": str(home),
            "OPENCLAW_STATE_DIR": str(state),
            "OPENCLAW_CONFIG_PATH": str(state / "openclaw.json"),
            "OPENCLAW_NO_RESPAWN": "1",
            "OPENCLAW_DISABLE_BONJOUR": "1",
            "OPENCLAW_SKIP_CHANNELS": "1",
            "NO_COLOR": "1",
        }
        (state / "openclaw.json").write_text(json.dumps(self._config(model), indent=1))
        self._gateway: subprocess.Popen[bytes] | None = None

    def _config(self, model: Model) -> dict[str, Any]:
        scripted = {
            "id": "scripted",
            "name": "Scripted",
            "reasoning": False,
            "input": ["text"],
            "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
            "contextWindow": 128000,
            "maxTokens": 4096,
        }
        provider = {
            "baseUrl": f"http://127.0.0.1:{model.port}/v1",
            "apiKey": "example",
            "api": "openai-completions",
            "models": [scripted],
        }
        return {
            "gateway": {
                "mode": "local",
                "bind": "loopback",
                "port": self.port,
                "auth": {"mode": "token", "token": TOKEN},
            },
            "logging": {"file": str(self.root / "gateway.log")},
            "models": {"mode": "replace", "providers": {"test": provider}},
            "agents": {
                "defaults": {
                    "workspace": str(self.workspace),
                    "skipBootstrap": True,
                    "model": {"primary": "test/scripted"},
                    "heartbeat": {"every": "0m"},
                }
            },
            "tools": {"toolSearch": False},
            "skills": {"workshop": {"autonomous": {"mode": "off"}}},
            "update": {"checkOnStart": False},
        }

    def run(self, *words: str, check: bool = True) -> str:
        """One command of OpenClaw's own; its stdout."""
        done = self.process([str(self._program), *words])
        if check:
            assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def json(self, *words: str) -> Any:
        """One command of OpenClaw's own that tells JSON."""
        return json.loads(self.run(*words))

    def process(self, command: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command with OpenClaw's surroundings, as its owner would run it."""
        return subprocess.run(
            command,
            env=self.environ,
            cwd=self.workspace,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )

    def start(self) -> None:
        """Start the gateway, and return when it serves."""
        with (self.root / "gateway.out").open("wb") as out:
            self._gateway = subprocess.Popen(
                [str(self._program), "gateway", "run"],
                env={key: self.environ[key] for key in self.environ if key != "PVE_HOME"},
                cwd=self.workspace,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        url = f"http://127.0.0.1:{self.port}/health"
        for _ in range(_START_TRIES):
            assert self._gateway.poll() is None, (self.root / "gateway.out").read_text()[-3000:]
            try:
                with urllib.request.urlopen(url, timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                threading.Event().wait(0.2)
        raise AssertionError("the gateway never came up")

    def close(self) -> None:
        """End the gateway."""
        if self._gateway is not None:
            self._gateway.terminate()
            try:
                self._gateway.wait(30)
            except subprocess.TimeoutExpired:
                self._gateway.kill()
                self._gateway.wait()


class Person:
    """Somebody in a chat with the agent, who answers when asked to approve."""

    _numbers = count(1)
    """Of all that anybody said: OpenClaw takes each message's key once."""

    def __init__(self, openclaw: OpenClaw) -> None:
        self._process = subprocess.Popen(
            [str(openclaw.node), str(HERE / "person.mjs"), f"ws://127.0.0.1:{openclaw.port}"],
            env={**os.environ, "GATEWAY_TOKEN": TOKEN},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._came: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for(lambda frame: frame.get("type") == "res" and frame["ok"])

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._came.put(json.loads(line))

    def _send(self, method: str, params: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"method": method, "params": params}) + "\n")
        self._process.stdin.flush()

    def say(self, text: str, session: str = "main") -> None:
        """Say something to the agent."""
        self._send(
            "chat.send",
            {
                "sessionKey": f"agent:main:{session}",
                "message": text,
                "idempotencyKey": f"said-{next(self._numbers)}",
            },
        )

    def wait_for(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next frame that is it; those before it are forgotten."""
        seen = []
        while True:
            try:
                frame = self._came.get(timeout=_WAIT_S)
            except queue.Empty:
                raise AssertionError(f"it never came; {json.dumps(seen)[-4000:]}") from None
            if is_it(frame):
                return frame
            seen.append(frame)

    def asked(self, kind: str) -> dict[str, Any]:
        """The next question to approve: of a `plugin`, or about an `exec`."""
        frame = self.wait_for(lambda frame: frame.get("event") == f"{kind}.approval.requested")
        return frame["payload"]

    def decide(self, kind: str, question: dict[str, Any], decision: str) -> None:
        """Press a button."""
        self._send(f"{kind}.approval.resolve", {"id": question["id"], "decision": decision})

    def heard(self) -> str:
        """What the agent says at last."""

        def is_last(frame: dict[str, Any]) -> bool:
            payload = frame.get("payload") or {}
            return frame.get("event") == "chat" and payload.get("state") in {"final", "error"}

        return json.dumps(self.wait_for(is_last)["payload"])

    def close(self) -> None:
        """Leave."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait(20)
        self._reader.join(20)
        if self._process.stdout is not None:
            self._process.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""The official client of MCP, and a bare one, speaking with `pve mcp serve` as a process."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple

from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client

from tests.integration.conftest import BIN, Home
from tests.secrets_scan import leak_in


class Outcome(NamedTuple):
    """What a tool's call came to."""

    text: str
    data: dict[str, Any]
    """The envelope; empty where there is none."""
    is_error: bool

    @property
    def code(self) -> int:
        """The exit code that the command had."""
        return int(self.data["meta"]["exit_code"])

    @property
    def plan(self) -> str:
        """The plan that waits."""
        return str(self.data["plan"]["id"])


class Client:
    """The official client, when it has said hello."""

    def __init__(
        self, home: Home, session: ClientSession, hello: types.InitializeResult, portal: Any
    ) -> None:
        self.home = home
        self.session = session
        self.hello = hello
        self._portal: BlockingPortal = portal

    def run(self, script: Callable[[], Awaitable[Any]]) -> Any:
        """Carry out a script that awaits calls."""
        return self._portal.call(script)

    async def ask(self, tool: str, **arguments: Any) -> Outcome:
        result = await self.session.call_tool(tool, arguments)
        (content,) = result.content
        assert isinstance(content, types.TextContent)
        data = dict(result.structuredContent or {})
        assert not leak_in(f"{content.text}{data}".encode()), "a secret was shown"
        return Outcome(content.text, data, bool(result.isError))

    def call(self, tool: str, **arguments: Any) -> Outcome:
        """One call."""
        outcome: Outcome = self.run(lambda: self.ask(tool, **arguments))
        return outcome

    def read(self, command: str) -> Outcome:
        return self.call("pve_read", command=command)

    def plan(self, command: str, reason: str = "a test") -> Outcome:
        return self.call("pve_plan", command=command, reason=reason)


@contextlib.contextmanager
def open_client(home: Home) -> Iterator[Client]:
    """A server of its own, and the client on it."""
    log_file = home.inbox.parent / "mcp.log"
    server = StdioServerParameters(
        command=str(BIN / "pve"), args=["mcp", "serve"], env=home.environ
    )

    @contextlib.asynccontextmanager
    async def speaking() -> AsyncIterator[tuple[ClientSession, types.InitializeResult]]:
        with log_file.open("a") as log:
            async with stdio_client(server, errlog=log) as streams, ClientSession(*streams) as it:
                yield it, await it.initialize()

    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(speaking()) as (session, hello),
    ):
        yield Client(home, session, hello, portal)
    assert "Traceback" not in log_file.read_text()


class Raw:
    """The server without a client's library: lines in, lines out."""

    def __init__(self, home: Home, *words: str) -> None:
        self.process = subprocess.Popen(
            [str(BIN / "pve"), *words, "mcp", "serve"],
            env=home.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._last = 0
        client = {"name": "raw\x1b[31m\u202e", "version": "1"}
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        self.send("initialize", **hello)
        self.receive()
        self.write({"method": "notifications/initialized"})

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def send(self, method: str, **params: Any) -> None:
        self._last += 1
        self.write({"id": self._last, "method": method, "params": params})

    def call(self, tool: str, **arguments: Any) -> None:
        """Ask, and wait for nothing."""
        self.send("tools/call", name=tool, arguments=arguments)

    def write(self, message: dict[str, Any] | str) -> None:
        assert self.process.stdin is not None
        line = message
        if isinstance(message, dict):
            line = json.dumps({"jsonrpc": "2.0", **message})
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def cancel(self) -> None:
        """What was asked last is not wanted any more."""
        self.write({"method": "notifications/cancelled", "params": {"requestId": self._last}})

    def receive(self) -> dict[str, Any]:
        """The next message, whatever it is."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert found["jsonrpc"] == "2.0"
        return found

    def result(self) -> Outcome:
        """The next result of a tool."""
        found = self.receive()
        while "result" not in found:
            found = self.receive()
        result = found["result"]
        data = result.get("structuredContent", {})
        return Outcome(result["content"][0]["text"], data, result["isError"])

    def end(self, how: Any) -> int:
        """The exit code. All its streams are closed, so no process of it is left."""
        if how == "eof":
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.stdin = None
        else:
            self.process.send_signal(how)
        out, err = self.process.communicate(timeout=30)
        assert "Traceback" not in err, err
        for line in out.splitlines():
            json.loads(line)
        return self.process.returncode


def newest_code(home: Home) -> str:
    """What only the person has seen."""
    return re.findall(r"code: (\S+)", home.inbox.read_text())[-1]

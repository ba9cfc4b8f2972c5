"""The server: the official SDK between a client's streams and the processes that carry out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any, NoReturn

import anyio
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from pveops import __version__
from pveops.cli.broker_message import (
    Asked,
    Told,
    decode_message,
    encode_message,
    pack_asked,
    unpack_told,
)
from pveops.cli.failure import INTERRUPTED, TERMINATED
from pveops.errors import InternalError, OutcomeUnknownError, ProtocolError, PveopsError
from pveops.mcp.admission import HELP, READ
from pveops.mcp.processes import Processes
from pveops.mcp.request import make_asked
from pveops.mcp.result import Result, result_of, result_of_error
from pveops.mcp.tools import INSTRUCTIONS, TOOLS
from pveops.sanitize import sanitize_text

_MAX_AT_ONCE = 8
_CHUNK = 1 << 16
_MAX_CLIENT = 80


def run(processes: Processes, output: int, shared: Sequence[str]) -> int:
    """Serve until the client ends its stream, or SIGTERM comes; the exit code.

    output: the descriptor that the protocol is written to. shared: options for every command.
    """
    anyio.run(_Service(processes, output, tuple(shared)).serve)
    return 0


class _Service:
    def __init__(self, processes: Processes, output: int, shared: tuple[str, ...]) -> None:
        self._processes = processes
        self._output = output
        self._shared = shared
        self._slots = asyncio.Semaphore(_MAX_AT_ONCE)
        self._server: Server[Any, Any] = Server(
            "pveops", version=__version__, instructions=INSTRUCTIONS
        )
        self._server.request_handlers[types.ListToolsRequest] = _list_tools
        self._server.request_handlers[types.CallToolRequest] = self._call_tool

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number, code in ((signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)):
            loop.add_signal_handler(number, self._leave, code)
        stdout: Any = _Output(self._output, self._leave)
        async with stdio_server(stdout=stdout) as (reading, writing):
            await self._server.run(reading, writing, self._server.create_initialization_options())
        self._processes.close()

    def _leave(self, code: int) -> NoReturn:
        """At once: a thread that reads our input could not be ended otherwise."""
        self._processes.close()
        os._exit(code)

    async def _call_tool(self, request: types.CallToolRequest) -> types.ServerResult:
        tool, arguments = request.params.name, request.params.arguments or {}
        try:
            asked = make_asked(tool, arguments, self._shared)
            asked = asked._replace(asserted=self._describe_client())
            async with self._slots:
                result = result_of(tool, await self._carry_out(tool, asked))
        except PveopsError as error:
            result = result_of_error(tool, error)
        return types.ServerResult(_pack(result))

    async def _carry_out(self, tool: str, asked: Asked) -> Told:
        loop = asyncio.get_running_loop()
        begun = self._processes.begin()
        is_over = False
        with begun.connection as connection:
            connection.setblocking(False)
            message = {**pack_asked(asked), "tool": tool}
            content = bytearray()
            try:
                await loop.sock_sendall(connection, encode_message(message))
                while chunk := await loop.sock_recv(connection, _CHUNK):
                    content += chunk
                is_over = True
                told = unpack_told(decode_message(bytes(content)))
            except (OSError, ProtocolError) as error:
                raise _lost(tool) from error
            finally:
                if not is_over:
                    # The client has cancelled, or is gone.
                    self._processes.stop(begun.number)
        with contextlib.suppress(OSError):
            # For the client's log; nobody has to keep one.
            sys.stderr.write(told.stderr)
        return told

    def _describe_client(self) -> dict[str, str]:
        """What the client says of itself; recorded, never believed."""
        params = self._server.request_context.session.client_params
        if params is None:
            return {}
        name = f"{params.clientInfo.name} {params.clientInfo.version}"
        return {"MCP_CLIENT": sanitize_text(name, _MAX_CLIENT)}


async def _list_tools(_request: types.ListToolsRequest) -> types.ServerResult:
    tools = [types.Tool.model_validate(tool) for tool in TOOLS]
    return types.ServerResult(types.ListToolsResult(tools=tools))


def _pack(result: Result) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=result.text)],
        structuredContent=result.data,
        isError=result.is_error,
    )


def _lost(tool: str) -> PveopsError:
    text = "the process that carried it out ended without an answer"
    if tool in {READ, HELP}:
        return InternalError(text, hint="ask again; if it stays so, start the MCP server again")
    return OutcomeUnknownError(text, hint=f"{READ} `run list` tells what was begun")


class _Output:
    """Where the protocol goes, for the SDK; when nobody reads it any more, all is over."""

    def __init__(self, descriptor: int, leave: Any) -> None:
        self._file = TextIOWrapper(
            os.fdopen(descriptor, "wb"), encoding="utf-8", errors="backslashreplace"
        )
        self._leave = leave

    async def write(self, text: str) -> None:
        self._file.write(text)

    async def flush(self) -> None:
        try:
            await anyio.to_thread.run_sync(self._file.flush)
        except OSError:
            self._leave(0)

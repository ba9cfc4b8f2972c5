"""A model that plays a script, behind OpenAI's chat protocol on loopback.

A script is chosen by a marker that its conversation holds. A step sees what the tools have
answered since the person last spoke, and says what the model does next: a tool's call, or text.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, NamedTuple

_INTERNAL = "BEGIN_OPENCLAW_INTERNAL_CONTEXT"
"""OpenClaw appends a message of its own to each request; it is no person's."""
_WAIT_S = 150.0


class ToolCall(NamedTuple):
    """What the model asks of a tool."""

    name: str
    arguments: Mapping[str, Any]


Step = Callable[[Sequence[str]], ToolCall | str]
"""Given the tools' answers so far, the next call, or what is said at last."""


class Model:
    """Serves until `close`. `scripts`: marker -> steps; the last step repeats."""

    def __init__(self) -> None:
        self.scripts: dict[str, Sequence[Step]] = {}
        self.requests: list[dict[str, Any]] = []
        self._came = threading.Condition()
        self._ids = count(1)
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self._send({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

            def do_POST(self) -> None:
                size = int(self.headers.get("content-length", 0))
                asked = json.loads(self.rfile.read(size))
                answer = model.answer(asked)
                with model._came:
                    model.requests.append(asked)
                    model._came.notify_all()
                if not asked.get("stream"):
                    self._send(answer)
                    return
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("connection", "close")
                self.end_headers()
                for chunk in chunks_of(answer):
                    self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
                self.wfile.write(b"data: [DONE]\n\n")
                self.close_connection = True

            def _send(self, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, marker: str) -> str:
        """What a person, or a job in their place, said that holds the marker; waits until then."""
        with self._came:
            assert self._came.wait_for(lambda: self.said(marker), _WAIT_S), f"nobody said {marker}"
        return self.said(marker)[0]

    def said(self, marker: str) -> list[str]:
        """What was said with the marker in it: each conversation's once."""
        told = (text_of(message) for asked in self.requests for message in asked["messages"])
        return list(dict.fromkeys(text for text in told if marker in text))

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What the script says next, as a completion."""
        messages = asked["messages"]
        steps = self._script_for(messages)
        done = tool_answers(messages)
        step = steps[min(len(done), len(steps) - 1)](done)
        said: dict[str, Any] = {"role": "assistant", "content": None}
        if isinstance(step, str):
            said["content"] = step
        else:
            function = {"name": step.name, "arguments": json.dumps(step.arguments)}
            said["tool_calls"] = [
                {"id": f"call_{next(self._ids)}", "type": "function", "function": function}
            ]
        reason = "stop" if isinstance(step, str) else "tool_calls"
        return {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": 0,
            "model": "scripted",
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            "choices": [{"index": 0, "message": said, "finish_reason": reason}],
        }

    def _script_for(self, messages: Sequence[Mapping[str, Any]]) -> Sequence[Step]:
        """That of the marker which was said last."""
        for message in reversed(messages):
            text = text_of(message)
            if message.get("role") != "user" or _INTERNAL in text:
                continue
            for marker, steps in self.scripts.items():
                if marker in text:
                    return steps
        return [lambda _: "NO_REPLY"]


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text, whichever way it is told."""
    content = message.get("content")
    return content if isinstance(content, str) else json.dumps(content)


def tool_answers(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tools answered since the person last spoke."""
    found: list[str] = []
    for message in reversed(messages):
        if message.get("role") == "tool":
            found.append(text_of(message))
        elif message.get("role") == "user" and _INTERNAL not in text_of(message):
            break
    return found[::-1]


def chunks_of(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The completion as a stream of two chunks."""
    choice = answer["choices"][0]
    delta = dict(choice["message"])
    calls = delta.get("tool_calls", [])
    if calls:
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    base = answer | {"object": "chat.completion.chunk"}
    yield base | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield base | {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}

"""A real, headless Chromium, driven over its debugging pipe with the standard library alone.

Messages are JSON, each ended by a zero byte; the browser reads on its descriptor 3 and writes on 4
(the Chrome DevTools Protocol, `--remote-debugging-pipe`).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
_PATIENCE_S = 60.0
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "--proxy-server=127.0.0.1:1",  # whatever asks for something from elsewhere gets nothing
)
_STARTER = """
import fcntl, os, sys
# Out of the way first: one of the ends may be 3 or 4 already.
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The browser takes its pipe on the descriptors 3 and 4."""


class Chromium:
    """One page in one browser. What it logs and asks for is kept."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._buffer = b""
        self._last = 0
        self._session: str | None = None
        self.logged: list[str] = []
        """Errors and warnings of the console, exceptions, violations of the page's policy."""
        self.requested: list[str] = []
        """The addresses of everything that was asked for."""

    def attach(self) -> None:
        """Open a tab, and listen to it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, path: Path, *, width: int, height: int = 900, scheme: str = "light") -> None:
        """Show a file, as wide as that, for a reader who prefers light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.prefer(scheme)
        self.call("Page.navigate", url=path.as_uri())
        self._wait("Page.loadEventFired")

    def prefer(self, scheme: str, media: str = "") -> None:
        """The reader's wish; media: `print` for how it is on paper."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, asked by the debugger: the page's policy binds it not."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> Path:
        """The whole page as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its result."""
        self._last += 1
        number = self._last
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def _wait(self, event: str) -> None:
        while self._receive().get("method") != event:
            pass

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], _PATIENCE_S)
            assert ready, "the browser does not answer"
            piece = os.read(self._read, 1 << 20)
            assert piece, "the browser has ended"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        elif event == "Log.entryAdded":
            self.logged.append(params["entry"]["text"])
        elif event == "Runtime.exceptionThrown":
            self.logged.append(str(params["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled":
            self.logged.append(str(params.get("args")))


@contextlib.contextmanager
def browser() -> Iterator[Chromium]:
    """A browser with a profile of its own, ended afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield from _run(Path(folder))


def _run(folder: Path) -> Iterator[Chromium]:
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    ends = (str(to_read), str(from_write))
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _STARTER,
            *ends,
            PROGRAM,
            *_FLAGS,
            f"--user-data-dir={folder / 'browser'}",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(to_read, from_write),
        env={**os.environ, "HOME": str(folder), "LC_ALL": "C.UTF-8"},
    )
    for end in (to_read, from_write):
        os.close(end)
    try:
        page = Chromium(to_write, from_read)
        page.attach()
        yield page
    finally:
        for end in (to_write, from_read):
            os.close(end)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

"""A node's listener: a thread a connection, TLS in that thread, pveproxy's keep-alive rules."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading

from pveops.sim.http.wire import Incoming, Reader, WireError, encode_answer, is_plain_text
from pveops.sim.message import RawAnswer
from pveops.sim.model import Cluster, Node
from pveops.sim.pipeline import handle

IDLE_S = 5.0
MAX_REQUESTS = 100
_BACKLOG = 128
_ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset."""


class NodeServer:
    """One node's API on a port of the loopback interface."""

    def __init__(
        self,
        cluster: Cluster,
        node: Node,
        context: ssl.SSLContext,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._cluster = cluster
        self._node = node
        self._context = context
        self._socket = socket.create_server((host, port), backlog=_BACKLOG)
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        """Accept connections from now on."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop, and end the connections that are open."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            left = list(self._open)
        for connection in left:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        try:
            self._greet(connection)
        except (OSError, ssl.SSLError):
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _greet(self, connection: socket.socket) -> None:
        if not self._node.is_online:
            _reset(connection)
            return
        connection.settimeout(IDLE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if is_plain_text(connection):
            _redirect(connection)
            return
        with self._context.wrap_socket(connection, server_side=True) as secure:
            self._talk(secure)

    def _talk(self, connection: ssl.SSLSocket) -> None:
        reader = Reader(connection.recv)
        for number in range(1, MAX_REQUESTS + 1):
            try:
                incoming = reader.next_request()
            except WireError as error:
                if error.answer is not None:
                    connection.sendall(encode_answer(error.answer, ""))
                return
            if incoming is None or not self._node.is_online:
                return
            answer = handle(self._cluster, self._node, incoming.request)
            if not self._give(connection, incoming, answer, is_last=number == MAX_REQUESTS):
                return

    def _give(
        self, connection: ssl.SSLSocket, incoming: Incoming, answer: RawAnswer, *, is_last: bool
    ) -> bool:
        """Send the answer; whether the connection stays."""
        if answer.is_lost or not self._node.is_online:
            _reset(connection)
            return False
        if answer.is_hanging:
            self._closing.wait()
            return False
        keeps = answer.keeps_alive and incoming.wants_keep_alive and not is_last
        if is_last and answer.keeps_alive:
            answer.headers = [
                ("Connection", "close") if pair == ("Connection", "Keep-Alive") else pair
                for pair in answer.headers
            ]
        accepts = incoming.request.headers.get("accept-encoding", "")
        connection.sendall(encode_answer(answer, accepts))
        return keeps


def _reset(connection: socket.socket) -> None:
    """End the connection without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    connection.close()


def _redirect(connection: socket.socket) -> None:
    """Plain HTTP on the TLS port is sent to https."""
    incoming = Reader(connection.recv).next_request()
    if incoming is None:
        return
    host = incoming.request.headers.get("host", "localhost")
    answer = RawAnswer(
        301,
        "Moved Permanently",
        [("Connection", "Keep-Alive"), ("Location", f"https://{host}{incoming.request.target}")],
        b"Moved Permanently",
    )
    connection.sendall(encode_answer(answer, ""))

"""A TCP proxy that resets, freezes and slows down what passes through it."""

import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Literal, Self

Direction = Literal["requests", "answers"]

_BUFFER = 1 << 16
_COMMIT = b"\x03COMMIT"
"""COM_QUERY with this statement."""


class _Link:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.frozen: frozenset[Direction] = frozenset()
        self.reset_on_answer = False

    def reset(self) -> None:
        """Close both ends with RST."""
        for end in (self.client, self.server):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RD)  # wakes the thread that reads from it
            with suppress(OSError):
                end.close()


class Proxy:
    """Passes connections to a port of 127.0.0.1 on; a context manager."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links: list[_Link] = []
        self._lock = threading.Lock()
        self._reset_commit = False
        self._reset_any = False
        self.port: int = self._listener.getsockname()[1]
        self.resets = 0
        self.delay = 0.0
        """Seconds that every answer is kept back."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone does not wake a thread in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self._links:
            link.reset()

    def reset_next_commit(self, *, encrypted: bool) -> None:
        """Reset the next connection whose COMMIT went through, before the answer; on TLS at any answer."""
        with self._lock:
            self._reset_commit = not encrypted
            self._reset_any = encrypted

    def freeze(self, *directions: Direction) -> None:
        """Let nothing more pass that way on the connections of now; new ones work."""
        with self._lock:
            for link in self._links:
                link.frozen = frozenset(directions)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            link = _Link(client, server)
            with self._lock:
                self._links.append(link)
            for work in (self._requests, self._answers):
                threading.Thread(target=work, args=(link,), daemon=True).start()

    def _requests(self, link: _Link) -> None:
        with suppress(OSError):
            while data := link.client.recv(_BUFFER):
                with self._lock:
                    if self._reset_commit and _COMMIT in data:
                        self._reset_commit, link.reset_on_answer = False, True
                if "requests" in link.frozen:
                    continue
                link.server.sendall(data)
        link.reset()

    def _answers(self, link: _Link) -> None:
        with suppress(OSError):
            while data := link.server.recv(_BUFFER):
                if self._is_due(link):
                    break
                if "answers" in link.frozen:
                    continue
                time.sleep(self.delay)
                link.client.sendall(data)
        link.reset()

    def _is_due(self, link: _Link) -> bool:
        with self._lock:
            due = link.reset_on_answer or self._reset_any
            if due:
                self._reset_any = False
                self.resets += 1
            return due

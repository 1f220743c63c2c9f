"""Messages between the coordinator and its slots: JSON objects with a length in front, over a socket pair.

JSON and not pickle: what comes out of a slot was written by a script that nobody vouches for.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("!I")
MAX_MESSAGE = 256 * 1024 * 1024


class Channel:
    """One end of a connection. ``send`` blocks; ``receive`` returns what has arrived whole."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def fileno(self) -> int:
        """Return the file descriptor, for selectors."""
        return self._connection.fileno()

    def send(self, message: dict[str, Any]) -> None:
        """Send one message. Lone surrogates (file names that are not UTF-8) survive the way."""
        content = json.dumps(message).encode("ascii")
        self._connection.sendall(_LENGTH.pack(len(content)) + content)

    def receive_one(self) -> dict[str, Any] | None:
        """Wait for one message; ``None`` when the other end is gone."""
        while True:
            message = self._pop()
            if message is not None:
                return message
            if not self._fill():
                return None

    def receive_ready(self) -> tuple[list[dict[str, Any]], bool]:
        """Read once (the socket is readable) and return the whole messages and whether the other end lives."""
        alive = self._fill()
        messages = []
        while (message := self._pop()) is not None:
            messages.append(message)
        return messages, alive

    def close(self) -> None:
        """Close this end."""
        self._connection.close()

    def _fill(self) -> bool:
        try:
            data = self._connection.recv(1 << 20)
        except ConnectionResetError:
            return False
        self._buffer += data
        return bool(data)

    def _pop(self) -> dict[str, Any] | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > MAX_MESSAGE:
            raise ValueError(f"a slot announced a message of {length} bytes, more than {MAX_MESSAGE}")
        if len(self._buffer) < _LENGTH.size + length:
            return None
        content = bytes(self._buffer[_LENGTH.size : _LENGTH.size + length])
        del self._buffer[: _LENGTH.size + length]
        message = json.loads(content)
        if not isinstance(message, dict):
            raise TypeError(f"a slot sent {type(message).__name__} instead of an object")
        return message

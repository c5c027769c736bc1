"""
One HTTP/2 connection, for one call at a time: TLS and HTTP/2 on memory, bytes by an `Io`.

A connection moves bytes and hides nothing: it keeps the status, the headers, the body and the trailers as they were sent, and leaves
it to `_grpc.py` and `_answers.py` to say what they mean.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from ._deadline import Deadline
from ._io import Io

Headers = "list[tuple[str, str]]"

_MAX_FRAME_BYTES = 16384
_HEADERS, _RST_STREAM, _SETTINGS, _PUSH_PROMISE, _GOAWAY, _CONTINUATION = 1, 3, 4, 5, 7, 9
_END_HEADERS = 4
_CLIENT_SETTINGS = {
    h2.settings.SettingCodes.ENABLE_PUSH: 0,
    h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 32768,
}


@dataclass(slots=True)
class RawReply:
    """A whole reply. Names are in lower case, repeated fields are repeated."""

    http_status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: list[tuple[str, str]] | None = None
    """None if the reply ended without a trailer section of its own."""


class Broken(Exception):
    """
    There is no whole reply. `unreachable`: no connection, or it was lost, or the server says that it did not look at the call.
    `reset`: the server broke this call off. `protocol`: what arrived is not HTTP/2, or over a limit.
    """

    def __init__(self, how: Literal["unreachable", "reset", "protocol"], problem: str) -> None:
        super().__init__(problem)
        self.how = how
        self.problem = problem


class Connection:
    def __init__(self, sock: socket.socket, tls: ssl.SSLContext | None, host: str, authority: str) -> None:
        """:param host: the name that the certificate must have"""
        self._sock = sock
        self.tls = tls
        self._authority = authority
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._secure = None if tls is None else tls.wrap_bio(self._in, self._out, server_hostname=host)
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self._h2 = h2.connection.H2Connection(config)
        self._h2.local_settings = h2.settings.Settings(client=True, initial_values=_CLIENT_SETTINGS)
        self._frames = _Frames()
        self._heard_settings = False
        self._last_stream: int | None = None
        self._pid = os.getpid()
        self.reusable = False
        """No call is under way, and the server takes another one as far as is known."""

    async def open(self, io: Io, deadline: Deadline) -> None:
        if self._secure is not None:
            await self._shake_hands(io, self._secure, deadline)
        self._h2.initiate_connection()
        await self._flush(io, deadline)
        self.reusable = True

    async def call(
        self, io: Io, path: str, headers: list[tuple[str, str]], body: bytes, max_bytes: int, deadline: Deadline
    ) -> RawReply:
        """Sends one request and receives the whole reply. Raises Broken, OSError or DeadlinePassed."""
        self.reusable = False
        try:
            stream = self._h2.get_next_available_stream_id()
            pseudo = [
                (":method", "POST"),
                (":scheme", "http" if self.tls is None else "https"),
                (":authority", self._authority),
                (":path", path),
            ]
            self._h2.send_headers(stream, pseudo + headers)
            reply = _Receiving(stream, max_bytes)
            unsent = memoryview(body)
            while not reply.ended:
                unsent = self._send_body(stream, unsent)
                await self._flush(io, deadline)
                self._take_in(await self._read(io, deadline), reply)
            await self._flush(io, deadline)
        except h2.exceptions.ProtocolError as error:
            raise _not_http2(error) from error
        self.reusable = len(unsent) == 0 and self._last_stream is None
        return reply.reply

    def is_alive(self) -> bool:
        """Takes in what has arrived while nobody called. False if the connection cannot take another call."""
        if not self.reusable or self._pid != os.getpid():
            return False
        try:
            self._sock.setblocking(False)
            while True:
                data = self._sock.recv(65536)
                self._take_in(self._decrypted(data), None)
                if data == b"" or self._last_stream is not None:
                    return False
        except (BlockingIOError, InterruptedError):
            return True
        except (OSError, Broken, h2.exceptions.ProtocolError):
            return False

    def interrupt(self) -> None:
        """Breaks off the call that is under way, which then closes the connection. A socket is not closed while a call waits for it."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.reusable = False
        self._sock.close()

    def _send_body(self, stream: int, unsent: memoryview) -> memoryview:
        """As much as the server has room for."""
        while len(unsent) > 0:
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size, len(unsent))
            if room <= 0:
                break
            self._h2.send_data(stream, bytes(unsent[:room]), end_stream=room == len(unsent))
            unsent = unsent[room:]
        return unsent

    def _take_in(self, data: bytes, reply: _Receiving | None) -> None:
        if data == b"":
            if reply is None:
                return
            raise Broken("unreachable", "the connection was lost")
        for frame in self._frames.split(data):
            if frame.type == _GOAWAY:
                self._go_away(frame, reply)
                continue
            if not self._heard_settings and frame.type != _SETTINGS:
                raise _not_http2("it does not begin with SETTINGS")
            self._heard_settings = True
            # h2 ignores it.
            if frame.type == _RST_STREAM and frame.stream > self._h2.highest_outbound_stream_id:
                raise _not_http2("a reset of a stream that was never opened")
            for event in self._h2.receive_data(frame.bytes):
                if isinstance(event, h2.events.DataReceived):
                    self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                if reply is not None:
                    reply.take(event)

    def _go_away(self, frame: _Frame, reply: _Receiving | None) -> None:
        """
        The server takes no more calls, and says which it has looked at. Not left to h2, which closes the connection under a call that
        the server is to finish.
        """
        last, error = frame.goaway()
        if self._last_stream is not None and last > self._last_stream:
            raise _not_http2("GOAWAY names a later stream than before")
        self._last_stream = last
        if reply is None:
            return
        if error != h2.errors.ErrorCodes.NO_ERROR:
            raise Broken("unreachable", f"the server closed the connection with HTTP/2 error {error}")
        if reply.stream > last:
            raise Broken("unreachable", "the server did not look at the call")

    async def _flush(self, io: Io, deadline: Deadline) -> None:
        data = self._h2.data_to_send()
        if self._secure is not None and data:
            self._secure.write(data)
            data = self._out.read()
        if data:
            await io.send(self._sock, data, deadline)

    async def _read(self, io: Io, deadline: Deadline) -> bytes:
        """Empty at the end."""
        while True:
            data = await io.receive(self._sock, deadline)
            plain = self._decrypted(data)
            if plain or data == b"":
                return plain

    def _decrypted(self, data: bytes) -> bytes:
        if self._secure is None:
            return data
        if data:
            self._in.write(data)
        plain = bytearray()
        try:
            while chunk := self._secure.read(65536):
                plain += chunk
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            pass
        return bytes(plain)

    async def _shake_hands(self, io: Io, secure: ssl.SSLObject, deadline: Deadline) -> None:
        while True:
            try:
                secure.do_handshake()
                break
            except ssl.SSLWantReadError:
                if data := self._out.read():
                    await io.send(self._sock, data, deadline)
                received = await io.receive(self._sock, deadline)
                if received == b"":
                    raise Broken("unreachable", "the connection was lost during the TLS handshake") from None
                self._in.write(received)
        if data := self._out.read():
            await io.send(self._sock, data, deadline)
        if secure.selected_alpn_protocol() != "h2":
            raise Broken("unreachable", "the server does not speak HTTP/2")


class _Receiving:
    """A reply as it arrives."""

    def __init__(self, stream: int, max_bytes: int) -> None:
        self.stream = stream
        self.reply = RawReply()
        self.ended = False
        self._max_bytes = max_bytes

    def take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            headers = _pairs(event.headers)
            status = [value for name, value in headers if name == ":status"]
            if len(status) != 1 or not re.fullmatch("[1-9][0-9]{2}", status[0]):
                raise _not_http2("the status is not a number of three digits")
            self.reply.http_status = int(status[0])
            self.reply.headers = headers
        elif isinstance(event, h2.events.DataReceived):
            self.reply.body += event.data or b""
            if len(self.reply.body) > self._max_bytes:
                raise Broken("protocol", f"the answer is over {self._max_bytes} bytes")
        elif isinstance(event, h2.events.TrailersReceived):
            self.reply.trailers = _pairs(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended = True
        elif isinstance(event, h2.events.StreamReset):
            raise self._reset(event)

    def _reset(self, event: h2.events.StreamReset) -> Broken:
        if not event.remote_reset:
            return _not_http2(f"HTTP/2 error {event.error_code}")
        if event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM:
            return Broken("unreachable", "the server refused the call")
        return Broken("reset", f"the stream was reset with HTTP/2 error {event.error_code}")


@dataclass(frozen=True, slots=True)
class _Frame:
    type: int
    stream: int
    bytes: bytes

    def goaway(self) -> tuple[int, int]:
        """The last stream that the server has looked at, and an error code."""
        if self.stream != 0 or len(self.bytes) < 9 + 8:
            raise _not_http2("GOAWAY is malformed")
        return int.from_bytes(self.bytes[9:13], "big") & 0x7FFFFFFF, int.from_bytes(self.bytes[13:17], "big")


class _Frames:
    """Cuts what arrives into whole frames."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._in_headers = False

    def split(self, data: bytes) -> Iterator[_Frame]:
        self._pending += data
        while len(self._pending) >= 9:
            length = int.from_bytes(self._pending[:3], "big")
            if length > _MAX_FRAME_BYTES:
                raise _not_http2(f"a frame of {length} bytes")
            if len(self._pending) < 9 + length:
                return
            frame = bytes(self._pending[: 9 + length])
            del self._pending[: 9 + length]
            yield self._checked(_Frame(frame[3], int.from_bytes(frame[5:9], "big") & 0x7FFFFFFF, frame), frame[4])

    def _checked(self, frame: _Frame, flags: int) -> _Frame:
        if frame.type == _GOAWAY and self._in_headers:
            raise _not_http2("a frame inside of a header block")
        if frame.type in (_HEADERS, _PUSH_PROMISE, _CONTINUATION):
            self._in_headers = not flags & _END_HEADERS
        return frame


def _pairs(headers: object) -> list[tuple[str, str]]:
    pairs: list[tuple[bytes, bytes]] = headers or []  # type: ignore[assignment]
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]


def _not_http2(problem: object) -> Broken:
    return Broken(
        "protocol", f"the port does not speak HTTP/2 as it should ({problem}); check that the URL names a gRPC port"
    )

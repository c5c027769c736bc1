"""How the client reaches the service: gRPC on connections of its own, one call on each at a time."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import Any

from ._connection import Broken, Connection
from ._credentials import Credentials, Unsent
from ._deadline import Deadline, DeadlinePassed
from ._grpc import envelope, failure_of_broken, unframe
from ._io import Io
from ._outcome import Failure, excerpt

_SERVICE = "/datacrawl.authz.v1.AuthorizeService/"
MAX_ANSWER_BYTES = 64 * 1024
_MAX_IDLE = 64
_BUSY_SECONDS = 0.1
"""A process that looks at its deadline as much too late was blocked."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    """A name or an address; for a Unix socket its path."""
    port: int
    """0 for a Unix socket."""
    secure: bool

    @property
    def authority(self) -> str:
        if self.port == 0:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Rpc:
    method: str
    message: bytes
    traceparent: str | None = None
    streams: bool = False
    timeout: float = math.inf
    """How long the service may take, in seconds, if that is less than the deadline leaves."""


class Transport:
    def __init__(self, endpoint: Endpoint, credentials: Credentials) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._closed = False

    async def call(self, io: Io, rpc: Rpc, deadline: Deadline) -> list[bytes] | Failure:
        """One attempt. Ends by its deadline, and raises nothing but what is the caller's own: a cancellation, an interrupt."""
        try:
            reply = await self._call(io, rpc, deadline)
        except DeadlinePassed:
            reply = Failure("deadline")
        except Unsent as error:
            return Failure("unsent", excerpt(str(error)), "BAD_CREDENTIAL")
        except Broken as error:
            reply = failure_of_broken(error)
        except OSError as error:
            reply = Failure("unavailable", excerpt(_problem_of(error)))
        # It came in time or it did not come: the caller may have given up already.
        if deadline.passed:
            return Failure("deadline", busy=deadline.left < -_BUSY_SECONDS)
        return reply

    async def _call(self, io: Io, rpc: Rpc, deadline: Deadline) -> list[bytes] | Failure:
        authorization = await self._credentials.authorization(io, deadline)
        tls = self._credentials.context() if self._endpoint.secure else None
        connection = self._take_idle(tls) or await self._connect(io, tls, deadline)
        try:
            headers = _headers(rpc, authorization, deadline)
            body = envelope(rpc.message)
            raw = await connection.call(io, _SERVICE + rpc.method, headers, body, MAX_ANSWER_BYTES, deadline)
            return unframe(raw, streams=rpc.streams)
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Closes every connection; calls under way are broken off."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            self._all.difference_update(idle)
            busy = list(self._all)
        for connection in idle:
            connection.close()
        for connection in busy:
            connection.interrupt()

    @property
    def closed(self) -> bool:
        return self._closed

    def after_fork(self) -> None:
        """In the child: the connections are the parent's, and a thread of the parent may have held the lock."""
        self._lock = threading.Lock()
        self._idle = []
        connections, self._all = self._all, set()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.close()

    def _take_idle(self, tls: ssl.SSLContext | None) -> Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            # A replaced certificate needs connections of its own.
            if connection.tls is tls and connection.is_alive():
                return connection
            self._drop(connection)

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if connection.reusable and not self._closed and connection in self._all and len(self._idle) < _MAX_IDLE:
                self._idle.append(connection)
                return
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        with self._lock:
            self._all.discard(connection)
        connection.close()

    async def _connect(self, io: Io, tls: ssl.SSLContext | None, deadline: Deadline) -> Connection:
        targets = await self._targets(io, deadline)
        for left, (family, target) in zip(range(len(targets), 0, -1), targets, strict=True):
            # A share of the time for each address, so that one that drops packets leaves some for the next.
            share = deadline.within(deadline.remaining() / left)
            try:
                return await self._connect_to(io, family, target, tls, share)
            except (OSError, DeadlinePassed):
                if left == 1:
                    raise
        raise Broken("unreachable", f"{self._endpoint.host} has no address")

    async def _connect_to(
        self, io: Io, family: socket.AddressFamily, target: Any, tls: ssl.SSLContext | None, deadline: Deadline
    ) -> Connection:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            if family != getattr(socket, "AF_UNIX", None):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            await io.connect(sock, target, deadline)
            connection = Connection(sock, tls, self._endpoint.host, self._endpoint.authority)
            with self._lock:
                if self._closed:
                    raise Broken("unreachable", "the client was closed")
                self._all.add(connection)
        except BaseException:
            sock.close()
            raise
        try:
            await connection.open(io, deadline)
        except BaseException:
            self._drop(connection)
            raise
        return connection

    async def _targets(self, io: Io, deadline: Deadline) -> list[tuple[socket.AddressFamily, Any]]:
        host, port = self._endpoint.host, self._endpoint.port
        if port == 0:
            return [(socket.AF_UNIX, host)]
        if host == "localhost":
            return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port))]
        with contextlib.suppress(ValueError):
            version = ipaddress.ip_address(host).version
            return [(socket.AF_INET if version == 4 else socket.AF_INET6, (host, port))]
        found = await io.call(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), deadline)
        return [(family, target) for family, _, _, _, target in found]


def _headers(rpc: Rpc, authorization: str | None, deadline: Deadline) -> list[tuple[str, str]]:
    milliseconds = max(1, math.floor(min(deadline.remaining(), rpc.timeout) * 1000))
    headers = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", f"{min(milliseconds, 99_999_999)}m"),
        ("user-agent", "datacrawl-python"),
    ]
    if authorization is not None:
        headers.append(("authorization", authorization))
    if rpc.traceparent is not None:
        headers.append(("traceparent", rpc.traceparent))
    return headers


def _problem_of(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    return error.strerror or type(error).__name__

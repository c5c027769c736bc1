"""A service for tests that answers as a script says, over real sockets, read and written by the protobuf runtime."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from datacrawl.authz.v1 import authorize_service_pb2 as contract
from datacrawl.authz.v1 import decision_pb2 as decisions
from datacrawl.authz.v1 import execution_pb2 as executions
from datacrawl.authz.v1 import watch_pb2 as watches

AGENT = "demo"
API_KEY = f"dc_agent_{AGENT}_0123456789ab_{'0' * 64}"
REQUESTS: dict[str, Any] = {
    "Authorize": contract.AuthorizeRequest,
    "BeginExecution": executions.BeginExecutionRequest,
    "ReportOutcome": executions.ReportOutcomeRequest,
    "WatchDecision": watches.WatchDecisionRequest,
}


@dataclass
class Asked:
    """One call, and how to answer it."""

    method: str
    request: Any
    headers: dict[str, str]
    closing: threading.Event
    _send: Callable[..., None]
    _sock: socket.socket

    def reply(self, *messages: Any, status: int = 0, detail: str = "") -> None:
        body = b"".join(
            b"\0" + len(data).to_bytes(4, "big") + data for data in (one.SerializeToString() for one in messages)
        )
        trailers = [("grpc-status", str(status))] + ([("grpc-message", detail)] if detail else [])
        self._send(body, trailers)

    def fail(self, status: int, detail: str = "") -> None:
        self._send(None, [("grpc-status", str(status)), ("grpc-message", detail)])

    def drop(self) -> None:
        """Ends the connection without an answer."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def hang(self) -> None:
        """Answers nothing until the test ends."""
        self.closing.wait(60)


Respond = Callable[[Asked], None]


class Server:
    def __init__(self, respond: Respond, tls: ssl.SSLContext | None = None) -> None:
        self.respond = respond
        self.asked: list[Asked] = []
        self.connections = 0
        self._tls = tls
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self._spawn(self._accept)

    def close(self) -> None:
        self._closing.set()
        # Closing does not wake a thread that accepts.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _spawn(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True, name="server")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self._closing.is_set():
                sock.close()
                return
            with self._lock:
                self._open.add(sock)
                self.connections += 1
            self._spawn(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._open.add(sock)
            with sock:
                self._talk(sock)

    def _talk(self, sock: socket.socket) -> None:
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        conn.initiate_connection()
        sock.sendall(conn.data_to_send())
        headers: dict[int, dict[str, str]] = {}
        bodies: dict[int, bytearray] = {}
        while data := sock.recv(65536):
            for event in conn.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    headers[event.stream_id] = {str(name): str(value) for name, value in event.headers or []}
                    bodies[event.stream_id] = bytearray()
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data or b""
                    conn.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    sock.sendall(conn.data_to_send())
                    self._answer(sock, conn, event.stream_id, headers[event.stream_id], bytes(bodies[event.stream_id]))
            sock.sendall(conn.data_to_send())

    def _answer(
        self, sock: socket.socket, conn: h2.connection.H2Connection, stream: int, headers: dict[str, str], body: bytes
    ) -> None:
        def send(reply: bytes | None, trailers: list[tuple[str, str]]) -> None:
            first = [(":status", "200"), ("content-type", "application/grpc")]
            if reply is None:
                conn.send_headers(stream, first + trailers, end_stream=True)
            else:
                conn.send_headers(stream, first)
                conn.send_data(stream, reply)
                conn.send_headers(stream, trailers, end_stream=True)
            sock.sendall(conn.data_to_send())

        method = headers[":path"].rsplit("/", 1)[1]
        asked = Asked(method, REQUESTS[method].FromString(body[5:]), headers, self._closing, send, sock)
        self.asked.append(asked)
        self.respond(asked)


@contextlib.contextmanager
def serving(respond: Respond, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(respond, tls)
    try:
        yield server
    finally:
        server.close()


def answer(asked: Asked, **fields: Any) -> Any:
    """A right allow, with `fields` instead."""
    request = asked.request
    right: dict[str, Any] = {
        "decision": decisions.DECISION_ALLOW,
        "reason": decisions.REASON_RULE_ALLOWED,
        "message": "The rule allows it.",
        "decision_id": str(uuid.uuid4()),
        "policy_version": "sha256:00",
        "rule_id": "rule",
        "agent_id": request.agent_id or AGENT,
        "tool": request.tool,
        "idempotency_key": request.idempotency_key,
        "nonce": request.nonce,
        "source": decisions.SOURCE_SERVICE,
    }
    response = contract.AuthorizeResponse(**{**right, **fields})
    response.decided_at.GetCurrentTime()
    return response


def start(asked: Asked, **fields: Any) -> Any:
    """A right start, with `fields` instead."""
    right: dict[str, Any] = {
        "state": executions.EXECUTION_STATE_STARTED,
        "message": "It is started.",
        "decision_id": asked.request.decision_id,
        "nonce": asked.request.nonce,
        "agent_id": AGENT,
        "execution_id": str(uuid.uuid4()),
        "started_by": "0123456789ab",
        "source": decisions.SOURCE_SERVICE,
    }
    response = executions.BeginExecutionResponse(**{**right, **fields})
    if response.state != executions.EXECUTION_STATE_REFUSED:
        response.started_at.GetCurrentTime()
        response.report_due_at.GetCurrentTime()
    return response


def reported(asked: Asked, **fields: Any) -> Any:
    request = asked.request
    right = {"decision_id": request.decision_id, "execution_id": request.execution_id, "outcome": request.outcome}
    response = executions.ReportOutcomeResponse(**{**right, **fields})
    response.ended_at.GetCurrentTime()
    return response


def watched(asked: Asked, **fields: Any) -> Any:
    right: dict[str, Any] = {
        "decision": decisions.DECISION_NEEDS_REVIEW,
        "reason": decisions.REASON_REVIEW_PENDING,
        "decision_id": asked.request.decision_id,
        "agent_id": AGENT,
        "tool": "mail",
        "nonce": asked.request.nonce,
        "source": decisions.SOURCE_SERVICE,
    }
    return watches.WatchDecisionResponse(**{**right, **fields})


def allow(asked: Asked) -> None:
    """Answers everything as a service does that allows."""
    if asked.method == "Authorize":
        asked.reply(answer(asked))
    elif asked.method == "BeginExecution":
        asked.reply(start(asked))
    elif asked.method == "ReportOutcome":
        asked.reply(reported(asked))
    else:
        approved = {"decision": decisions.DECISION_ALLOW, "reason": decisions.REASON_REVIEW_APPROVED}
        asked.reply(watched(asked, **approved))

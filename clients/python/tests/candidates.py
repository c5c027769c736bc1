"""Transports that were weighed, under the conformance kit: docs/clients/python.md has the table.

    datacrawl conformance run --transport grpc --client "python3 clients/python/tests/candidates.py grpcio"

Each reads answers as strictly as the client does. What a candidate gets wrong is what its library hides or tolerates.
"""

from __future__ import annotations

import asyncio
import functools
import http.client
import json
import secrets
import ssl
import sys
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from datacrawl._answers import Expected, read_answer
from datacrawl._guard import _authorize_request
from datacrawl._outcome import Failure, failure_of_status, malformed
from datacrawl._question import read_question
from datacrawl._verdict import Verdict

PATH = "/datacrawl.authz.v1.AuthorizeService/Authorize"


def ask(send: Callable[[Any, bytes], list[bytes] | Failure], asked: dict[str, Any]) -> tuple[str, str]:
    question = read_question(
        asked["agentId"],
        tool=asked["tool"],
        payload=asked["payload"],
        idempotency_key=asked["idempotencyKey"],
        principal=None,
        session_id=None,
    )
    nonce = secrets.token_bytes(16)
    echoes: dict[str, int | str | bytes] = {
        "tool": question.tool,
        "idempotency_key": question.idempotency_key,
        "nonce": nonce,
    }
    answer = read_answer(
        send(asked, _authorize_request(question, nonce)), Expected(asked["agentId"], echoes, sidecar=False)
    )
    if isinstance(answer, Verdict):
        return answer.decision, answer.reason
    reasons = {"malformed": "MALFORMED_RESPONSE", "refused": "REQUEST_REFUSED", "late": "DEADLINE_EXCEEDED"}
    return "deny", reasons.get(answer.kind, "SERVICE_UNAVAILABLE")


def seconds(asked: dict[str, Any]) -> float:
    return float(asked["deadlineMs"]) / 1000


def grpcio(asked: dict[str, Any], message: bytes) -> list[bytes] | Failure:
    import grpc

    try:
        call = grpc_channel(asked["url"], asked["caFile"]).unary_unary(PATH)
        metadata = (("authorization", f"Bearer {asked['apiKey']}"),)
        return messages(call(message, timeout=seconds(asked), metadata=metadata))
    except grpc.RpcError as error:
        return failure_of_status(error.code().name, error.details() or "")


def messages(reply: bytes | None) -> list[bytes] | Failure:
    """grpcio returns None for an OK without a message."""
    return malformed("no message") if reply is None else [reply]


@functools.cache
def grpc_channel(url: str, ca_file: str) -> Any:
    import grpc

    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "http":
        return grpc.insecure_channel(parts.netloc)
    with open(ca_file, "rb") as file:
        return grpc.secure_channel(parts.netloc, grpc.ssl_channel_credentials(file.read()))


def grpcio_aio(asked: dict[str, Any], message: bytes) -> list[bytes] | Failure:
    import grpc

    async def call() -> list[bytes] | Failure:
        try:
            channel = aio_channel(asked["url"], asked["caFile"])
            metadata = (("authorization", f"Bearer {asked['apiKey']}"),)
            return messages(await channel.unary_unary(PATH)(message, timeout=seconds(asked), metadata=metadata))
        except grpc.RpcError as error:
            return failure_of_status(error.code().name, error.details() or "")

    return loop().run_until_complete(call())


@functools.cache
def loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@functools.cache
def aio_channel(url: str, ca_file: str) -> Any:
    import grpc

    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "http":
        return grpc.aio.insecure_channel(parts.netloc)
    with open(ca_file, "rb") as file:
        return grpc.aio.secure_channel(parts.netloc, grpc.ssl_channel_credentials(file.read()))


def connect_headers(asked: dict[str, Any]) -> dict[str, str]:
    return {
        "authorization": f"Bearer {asked['apiKey']}",
        "content-type": "application/proto",
        "connect-protocol-version": "1",
        "connect-timeout-ms": str(asked["deadlineMs"]),
        "accept-encoding": "identity",
    }


def read_connect(status: int, headers: list[tuple[str, str]], body: bytes) -> list[bytes] | Failure:
    def values(name: str) -> list[str]:
        return [value for other, value in headers if other.lower() == name]

    if status != 200:
        try:
            return failure_of_status(str(json.loads(body)["code"]).upper(), "")
        except (ValueError, KeyError, TypeError):
            return Failure("unavailable") if status in (502, 503, 504) else malformed(f"HTTP {status}")
    if values("content-type") != ["application/proto"]:
        return malformed("content type")
    if values("content-encoding") not in ([], ["identity"]):
        return malformed("compressed")
    if len(values("content-length")) != 1 and values("transfer-encoding") != ["chunked"]:
        return malformed("no length")
    return [body]


@functools.cache
def httpx_client(ca_file: str) -> Any:
    import httpx

    return httpx.Client(verify=ssl.create_default_context(cafile=ca_file), trust_env=False)


def httpx_connect(asked: dict[str, Any], message: bytes) -> list[bytes] | Failure:
    import httpx

    try:
        reply = httpx_client(asked["caFile"]).post(
            asked["url"] + PATH, content=message, headers=connect_headers(asked), timeout=seconds(asked)
        )
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in reply.headers.raw]
        return read_connect(reply.status_code, headers, reply.content)
    except httpx.RemoteProtocolError as error:
        return malformed(str(error))
    except (httpx.HTTPError, OSError):
        return Failure("unavailable")


def http_client(asked: dict[str, Any], message: bytes) -> list[bytes] | Failure:
    parts = urllib.parse.urlsplit(asked["url"])
    if parts.scheme == "http":
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds(asked))
    else:
        context = ssl.create_default_context(cafile=asked["caFile"])
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=seconds(asked), context=context
        )
    try:
        connection.request("POST", PATH, message, connect_headers(asked))
        reply = connection.getresponse()
        return read_connect(reply.status, reply.getheaders(), reply.read())
    except http.client.HTTPException as error:
        return malformed(str(error))
    except OSError:
        return Failure("unavailable")
    finally:
        connection.close()


CANDIDATES = {"grpcio": grpcio, "grpcio-aio": grpcio_aio, "httpx": httpx_connect, "http.client": http_client}


def main() -> None:
    send = CANDIDATES[sys.argv[1]]
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        start = time.perf_counter()
        try:
            decision, reason = ask(send, asked)
        except Exception as error:
            decision, reason = "deny", type(error).__name__
        elapsed = (time.perf_counter() - start) * 1000
        print(
            json.dumps({"case": asked["case"], "decision": decision, "reason": reason, "elapsedMs": elapsed}),
            flush=True,
        )


if __name__ == "__main__":
    main()

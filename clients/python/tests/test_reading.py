"""The strictest reading of messages and envelopes, by example. The conformance kit has all cases; these say at once which rule is lost."""

from __future__ import annotations

import base64
import uuid
from types import SimpleNamespace

import pytest
from server import answer

from datacrawl import Verdict
from datacrawl._answers import Expected, read_answer
from datacrawl._connection import Broken, RawReply, _Frames
from datacrawl._grpc import envelope, failure_of_broken, unframe
from datacrawl._outcome import Failure, excerpt
from datacrawl._wire import encode_bytes, encode_number

NONCE = bytes(range(16))
EXPECTED = Expected("demo", {"tool": "mail", "idempotency_key": "key", "nonce": NONCE}, sidecar=False)
ALLOW: bytes = answer(
    SimpleNamespace(request=SimpleNamespace(agent_id="demo", tool="mail", idempotency_key="key", nonce=NONCE)),  # type: ignore[arg-type]
    decision_id=str(uuid.UUID(int=7)),
).SerializeToString()
DECISION = b"\x78\x01"
GOAWAY = 7


def with_decision(decision: bytes) -> bytes:
    assert ALLOW.endswith(DECISION)
    return ALLOW.removesuffix(DECISION) + decision


@pytest.mark.parametrize(
    "message",
    [
        with_decision(DECISION + DECISION),
        with_decision(b"\x78\x02" + DECISION),
        with_decision(b"\x78\x81\x00"),
        with_decision(b"\x78\x81\x80\x80\x80\x10"),
        with_decision(b"\x78" + b"\x81" * 9 + b"\x02"),
        with_decision(b"\x7a\x01\x01"),
        with_decision(b"\x79" + bytes([1, 0, 0, 0, 0, 0, 0, 0])),
        with_decision(b"\x7d\x01\x00\x00\x00"),
        with_decision(b"\x7b\x7c"),
        with_decision(b"\x78"),
        with_decision(b""),
        ALLOW + encode_bytes(2, b"again"),
        ALLOW + encode_number(5, 2),
        ALLOW + b"\x00\x01",
        ALLOW + encode_bytes(99, b"x")[:-1],
        ALLOW + b"\xff\xff\xff\xff\xff\x0f\x00",
        encode_bytes(4, b"\xff") + ALLOW.replace(encode_bytes(4, b"sha256:00"), b""),
        ALLOW.replace(encode_bytes(4, b"sha256:00"), encode_bytes(4, b"\xed\xa0\x80")),
        b"",
    ],
    ids=lambda message: message[-12:].hex() or "nothing",
)
def test_a_message_that_two_parsers_could_read_differently_is_malformed(message: bytes) -> None:
    failure = read_answer([message], EXPECTED)
    assert isinstance(failure, Failure)
    assert failure.kind == "malformed"


def test_fields_of_a_later_contract_are_passed_over() -> None:
    later = encode_bytes(99, b"x") + encode_number(100, 2**64 - 1) + b"\xa9\x06" + bytes(8) + b"\xad\x06" + bytes(4)
    verdict = read_answer([later + ALLOW], EXPECTED)
    assert isinstance(verdict, Verdict)
    assert verdict.allowed


def reply(**changes: object) -> RawReply:
    right = RawReply(
        http_status=200,
        headers=[(":status", "200"), ("content-type", "application/grpc")],
        body=bytearray(envelope(ALLOW)),
        trailers=[("grpc-status", "0")],
    )
    for name, value in changes.items():
        setattr(right, name, value)
    return right


def typed(*types: str) -> list[tuple[str, str]]:
    return [("content-type", one) for one in types]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"http_status": 201}, "malformed"),
        ({"http_status": 503, "headers": typed("text/html")}, "unavailable"),
        ({"http_status": 404, "headers": typed("text/html")}, "malformed"),
        ({"headers": []}, "malformed"),
        ({"headers": typed("application/grpc+json")}, "malformed"),
        ({"headers": typed("application/grpc;charset=utf-8")}, "malformed"),
        ({"headers": typed("application/grpc", "application/grpc")}, "malformed"),
        ({"headers": [*typed("application/grpc"), ("grpc-encoding", "gzip")]}, "malformed"),
        ({"headers": [*typed("application/grpc"), ("grpc-status", "0")]}, "malformed"),
        ({"headers": [*typed("application/grpc"), ("content-length", "1")]}, "malformed"),
        ({"trailers": None}, "malformed"),
        ({"trailers": []}, "malformed"),
        ({"trailers": [("grpc-status", "0"), ("grpc-status", "0")]}, "malformed"),
        ({"trailers": [("grpc-status", "+0")]}, "malformed"),
        ({"trailers": [("grpc-status", "00")]}, "malformed"),
        ({"trailers": [("grpc-status", "")]}, "malformed"),
        ({"trailers": [("grpc-status", "\u0660")]}, "malformed"),
        ({"trailers": [("grpc-status", "17")]}, "malformed"),
        ({"trailers": [("grpc-status", "14")]}, "unavailable"),
        ({"trailers": [("grpc-status", "13")]}, "failed"),
        ({"trailers": [("grpc-status", "4")]}, "late"),
        ({"trailers": [("grpc-status", "16")]}, "refused"),
        ({"trailers": None, "body": b"", "headers": [*typed("application/grpc"), ("grpc-status", "0")]}, "malformed"),
        (
            {"trailers": None, "body": b"", "headers": [*typed("application/grpc"), ("grpc-status", "14")]},
            "unavailable",
        ),
        ({"body": b""}, "malformed"),
        ({"body": envelope(ALLOW)[:-1]}, "malformed"),
        ({"body": envelope(ALLOW) + b"\0"}, "malformed"),
        ({"body": envelope(ALLOW) * 2}, "malformed"),
        ({"body": b"\1" + envelope(ALLOW)[1:]}, "malformed"),
    ],
    ids=str,
)
def test_an_envelope_that_is_not_the_right_one_has_no_message(changes: dict[str, object], kind: str) -> None:
    failure = unframe(reply(**changes), streams=False)
    assert isinstance(failure, Failure)
    assert failure.kind == kind


def test_the_right_envelope_has_one_message() -> None:
    assert unframe(reply(), streams=False) == [ALLOW]
    assert unframe(reply(headers=typed("application/grpc+proto")), streams=False) == [ALLOW]
    assert unframe(reply(body=bytearray(envelope(ALLOW) * 2)), streams=True) == [ALLOW, ALLOW]


def test_says_how_long_the_service_asks_to_wait() -> None:
    delay = encode_bytes(1, encode_number(1, 1) + encode_number(2, 500_000_000))
    retry_info = encode_bytes(1, b"type.googleapis.com/google.rpc.RetryInfo") + encode_bytes(2, delay)
    details = base64.b64encode(encode_number(1, 8) + encode_bytes(3, retry_info)).decode()
    limited = [("grpc-status", "8"), ("grpc-message", "slow%20down.")]
    for hint, seconds in ((details, 1.5), (details.rstrip("="), 1.5), ("AAAA", None), ("!", None), ("", None)):
        failure = unframe(reply(trailers=[*limited, ("grpc-status-details-bin", hint)]), streams=False)
        assert isinstance(failure, Failure)
        assert (failure.code, failure.problem) == ("RATE_LIMITED", "RESOURCE_EXHAUSTED: slow down")
        assert failure.retry_after == seconds


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\0\0\x08\7\0\0\0\0\1" + bytes(8),
        b"\0\0\4\7\0\0\0\0\0" + bytes(4),
        b"\0\0\1\1\0\0\0\0\1\x88" + b"\0\0\x08\7\0\0\0\0\0" + bytes(8),
    ],
    ids=["HTTP/1.1", "GOAWAY of a stream", "a short GOAWAY", "GOAWAY inside of headers"],
)
def test_frames_that_are_not_http2_are_malformed(data: bytes) -> None:
    with pytest.raises(Broken) as broken:
        [frame.goaway() for frame in _Frames().split(data) if frame.type == GOAWAY]
    assert failure_of_broken(broken.value).kind == "malformed"


def test_text_of_others_is_cut_and_controls_no_terminal() -> None:
    assert excerpt("a\x1b[31m\u202e\ud800b" + "c" * 300) == ("a [31m  b" + "c" * 300)[:200]

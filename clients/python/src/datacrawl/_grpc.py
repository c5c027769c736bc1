"""
gRPC, by the strictest reading of its specification: HTTP 200, one content type, one `grpc-status` in the place for it, and beside
status 0 nothing but uncompressed frames, of which there is exactly one unless the method streams.
"""

from __future__ import annotations

import base64
import re
import urllib.parse

from ._connection import Broken, RawReply
from ._outcome import STATUSES, Failure, excerpt, failure_of_status, malformed
from ._wire import Undecodable, unknown_fields

_CONTENT_TYPES = ("application/grpc", "application/grpc+proto")
_AWAY = (502, 503, 504)
"""What gateways say when the service behind them is away."""
_MAX_RETRY_SECONDS = 86_400


def envelope(message: bytes) -> bytes:
    """Flag 0, because nothing is compressed; the length; the message."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def unframe(reply: RawReply, *, streams: bool) -> list[bytes] | Failure:
    """The messages of a reply, at least one, or why there is no message."""
    headers, body = reply.headers, bytes(reply.body)
    content_type = _only(headers, "content-type")
    if content_type not in _CONTENT_TYPES:
        return _foreign(reply.http_status, content_type)
    if reply.http_status != 200:
        return malformed(f"HTTP {reply.http_status}")
    if any(coding != "identity" for coding in _values(headers, "grpc-encoding")):
        return malformed("the answer is compressed")
    if any(length != str(len(body)) for length in _values(headers, "content-length")):
        return malformed("the answer's content-length is wrong")
    if reply.trailers is None:
        # Headers that are trailers too: how gRPC sends a status without a message.
        if body:
            return malformed("the answer has no trailers")
        return _status_in(headers) or malformed("the answer has status OK and no message")
    if _values(headers, "grpc-status"):
        return malformed("grpc-status is in the headers")
    return _status_in(reply.trailers) or _messages(body, streams)


def failure_of_broken(broken: Broken) -> Failure:
    if broken.how == "unreachable":
        return Failure("unavailable", excerpt(broken.problem))
    return Failure("failed", excerpt(broken.problem)) if broken.how == "reset" else malformed(broken.problem)


def _messages(body: bytes, streams: bool) -> list[bytes] | Failure:
    messages: list[bytes] = []
    at = 0
    while at < len(body):
        start = at + 5
        end = start + int.from_bytes(body[at + 1 : start], "big")
        if start > len(body) or end > len(body):
            return malformed("the answer is not a sequence of whole frames")
        if body[at] != 0:
            return malformed(f"the answer's frame has flag {body[at]}")
        messages.append(body[start:end])
        at = end
    if not messages:
        return malformed("the answer has no message")
    if len(messages) > 1 and not streams:
        return malformed("the answer is not exactly one frame")
    return messages


def _foreign(http_status: int, content_type: str | None) -> Failure:
    problem = excerpt(f"HTTP {http_status}, content type {content_type or 'missing'}")
    return Failure("unavailable", problem) if http_status in _AWAY else malformed(problem)


def _status_in(trailers: list[tuple[str, str]]) -> Failure | None:
    """None for OK."""
    text = _only(trailers, "grpc-status")
    if text is None:
        return malformed("grpc-status is missing or repeated")
    number = int(text) if re.fullmatch("0|[1-9][0-9]?", text, re.ASCII) else len(STATUSES)
    if number >= len(STATUSES):
        return malformed(f"grpc-status is {text!r}")
    if number == 0:
        return None
    message = urllib.parse.unquote(_only(trailers, "grpc-message") or "")
    return failure_of_status(STATUSES[number], message, _retry_after(_only(trailers, "grpc-status-details-bin") or ""))


def _values(headers: list[tuple[str, str]], name: str) -> list[str]:
    return [value for other, value in headers if other == name]


def _only(headers: list[tuple[str, str]], name: str) -> str | None:
    values = _values(headers, name)
    return values[0] if len(values) == 1 else None


def _retry_after(details: str) -> float | None:
    """
    Seconds by the RetryInfo in a google.rpc.Status. A hint on which no decision depends, so what cannot be read counts as absent.
    """
    try:
        status = unknown_fields(base64.b64decode(details + "=" * (-len(details) % 4)))
        for detail in [
            dict(unknown_fields(value)) for number, value in status if number == 3 and isinstance(value, bytes)
        ]:
            url, value = detail.get(1, b""), detail.get(2, b"")
            if isinstance(url, bytes) and isinstance(value, bytes) and url.endswith(b"/google.rpc.RetryInfo"):
                delay = dict(unknown_fields(value)).get(1)
                parts = dict(unknown_fields(delay)) if isinstance(delay, bytes) else {}
                seconds, nanos = parts.get(1, 0), parts.get(2, 0)
                if isinstance(seconds, int) and isinstance(nanos, int) and seconds <= _MAX_RETRY_SECONDS:
                    return seconds + nanos / 1e9
    except (Undecodable, ValueError):
        pass
    return None

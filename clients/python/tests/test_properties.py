"""Properties of what is read from the network and of what is written to it."""

from __future__ import annotations

import json
import math
import uuid
from types import SimpleNamespace
from typing import Any

from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from server import answer

from datacrawl import Verdict
from datacrawl._answers import Expected, read_answer
from datacrawl._canonical import canonical_json, canonical_number
from datacrawl._connection import Broken, RawReply, _Frames
from datacrawl._grpc import unframe
from datacrawl._json import NotJson, plain_copy
from datacrawl._outcome import Failure
from datacrawl._wire import encode_bytes, encode_struct
from datacrawl.authz.v1 import authorize_service_pb2 as contract

NONCE = bytes(range(16))
REQUEST = SimpleNamespace(agent_id="demo", tool="mail", idempotency_key="key", nonce=NONCE)
EXPECTED = Expected("demo", {"tool": "mail", "idempotency_key": "key", "nonce": NONCE}, sidecar=False)
ALLOW = answer(SimpleNamespace(request=REQUEST), decision_id=str(uuid.UUID(int=7))).SerializeToString()  # type: ignore[arg-type]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_the_right_answer_is_an_allow() -> None:
    verdict = read_answer([ALLOW], EXPECTED)
    assert isinstance(verdict, Verdict)
    assert verdict.allowed


def test_an_answer_that_is_cut_anywhere_is_no_answer() -> None:
    assert all(isinstance(read_answer([ALLOW[:end]], EXPECTED), Failure) for end in range(len(ALLOW)))


def test_a_bit_of_the_decision_the_reason_the_source_or_an_echo_that_flips_is_no_answer() -> None:
    for bit in range(len(ALLOW) * 8):
        spoiled = bytearray(ALLOW)
        spoiled[bit // 8] ^= 1 << bit % 8
        verdict = read_answer([bytes(spoiled)], EXPECTED)
        if isinstance(verdict, Failure):
            continue
        # What is still an answer is an allow of the same reason to the same question.
        assert (verdict.decision, verdict.reason, verdict.source) == ("allow", "RULE_ALLOWED", "service")
        assert (verdict.tool, verdict.idempotency_key) == ("mail", "key")


@given(st.binary(max_size=200))
def test_no_bytes_raise_or_allow(data: bytes) -> None:
    assert isinstance(read_answer([data], EXPECTED), Failure)


@given(
    st.lists(st.tuples(st.sampled_from(["grpc-status", "content-type", "grpc-message", "x"]), st.text()), max_size=5),
    st.binary(),
)
def test_no_envelope_raises(headers: list[tuple[str, str]], body: bytes) -> None:
    for trailers in (None, headers):
        unframe(
            RawReply(200, [("content-type", "application/grpc"), *headers], bytearray(body), trailers), streams=False
        )


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_frames_do_not_depend_on_how_they_arrive(chunks: list[bytes]) -> None:
    def frames(parts: list[bytes]) -> list[bytes] | str:
        splitter, found = _Frames(), []
        try:
            for part in parts:
                found += [frame.bytes for frame in splitter.split(part)]
        except Broken as broken:
            return broken.how
        return found

    whole = b"".join(chunks)
    assert frames(chunks) == frames([whole]) == frames([whole[at : at + 1] for at in range(len(whole))])


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_a_payload_is_sent_as_it_is(payload: dict[str, Any]) -> None:
    try:
        copy = plain_copy(payload)
    except NotJson:
        return
    assert copy == payload
    sent = contract.AuthorizeRequest.FromString(encode_bytes(2, encode_struct(copy)))
    assert MessageToDict(sent.payload) == copy


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_canonical_json_reads_back_as_what_was_written(payload: dict[str, Any]) -> None:
    try:
        copy = plain_copy(payload)
    except NotJson:
        return
    text = canonical_json(copy)
    assert json.loads(text) == copy
    assert canonical_json(json.loads(text)) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_canonical_numbers_read_back_as_the_same_double(number: float) -> None:
    text = canonical_number(number)
    assert float(text) == number
    assert "e" not in text or not 1e-6 <= abs(number) < 1e21
    assert math.copysign(1, float(text)) == 1 or number < 0

"""What a call sends, reads, retries and counts, against a scripted service."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
import uuid
from typing import Any

import pytest
from conftest import Both
from hypothesis import given, settings
from hypothesis import strategies as st
from server import AGENT, API_KEY, Asked, allow, answer, serving

from datacrawl import Verdict
from datacrawl.authz.v1 import decision_pb2 as decisions

PAYLOAD = {"to": ["ann@example.com"], "n": 1, "half": 0.5, "none": None, "yes": True, "deep": {"é": [{}, []]}}
UNAVAILABLE, UNAUTHENTICATED, EXHAUSTED, INVALID, INTERNAL = 14, 16, 8, 3, 13


def test_asks_and_reads_an_allow(client: Both) -> None:
    with serving(allow) as server:
        dc = client(server.url, API_KEY)
        verdict = dc.authorize(
            tool="gmail.send_email", payload=PAYLOAD, idempotency_key="send-1", principal="ann", session_id="run-1"
        )
        (asked,) = server.asked
        request = asked.request
        assert (request.tool, request.idempotency_key, request.agent_id) == ("gmail.send_email", "send-1", AGENT)
        assert (request.principal, request.session_id, len(request.nonce)) == ("ann", "run-1", 16)
        assert set(request.payload) == set(PAYLOAD)
        assert request.payload["deep"]["é"][0] == {}
        assert asked.headers["authorization"] == f"Bearer {API_KEY}"
        assert 0 < int(asked.headers["grpc-timeout"].removesuffix("m")) <= 5000
        assert verdict.allowed
        assert bool(verdict) is True
        assert (verdict.decision, verdict.reason, verdict.source) == ("allow", "RULE_ALLOWED", "service")
        assert (verdict.tool, verdict.idempotency_key) == ("gmail.send_email", "send-1")
        assert (verdict.replayed, verdict.rule_id, verdict.code) == (False, "rule", None)
        assert verdict.decided_at.tzinfo is not None


def test_asks_again_on_the_same_connection(client: Both) -> None:
    with serving(allow) as server:
        dc = client(server.url, API_KEY)
        assert [dc.authorize(tool="mail", idempotency_key=str(n)).allowed for n in range(5)] == [True] * 5
        assert server.connections == 1


@pytest.mark.parametrize(
    ("decision", "reason", "expected"),
    [
        (decisions.DECISION_DENY, decisions.REASON_RULE_DENIED, "deny"),
        (decisions.DECISION_NEEDS_REVIEW, decisions.REASON_REVIEW_PENDING, "needs_review"),
    ],
)
def test_only_an_allow_is_allowed(client: Both, decision: int, reason: int, expected: str) -> None:
    with serving(lambda asked: asked.reply(answer(asked, decision=decision, reason=reason))) as server:
        verdict = client(server.url, API_KEY).authorize(tool="mail")
        assert (verdict.decision, verdict.source, verdict.allowed, bool(verdict)) == (expected, "service", False, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"decision": 3},
        {"decision": 0},
        {"reason": decisions.REASON_RULE_DENIED},
        {"reason": 11},
        {"reason": decisions.REASON_CIRCUIT_BYPASS, "source": decisions.SOURCE_GUARD},
        {"source": decisions.SOURCE_GUARD},
        {"agent_id": "other"},
        {"tool": "mail2"},
        {"idempotency_key": "other"},
        {"nonce": bytes(16)},
        {"nonce": b""},
        {"decision_id": "7"},
        {"decision_id": str(uuid.uuid4()).upper()},
    ],
    ids=str,
)
def test_an_answer_that_is_not_the_right_one_is_a_deny(client: Both, fields: dict[str, Any]) -> None:
    with serving(lambda asked: asked.reply(answer(asked, **fields))) as server:
        verdict = client(server.url, API_KEY).authorize(tool="mail", idempotency_key="k")
        assert (verdict.decision, verdict.reason, verdict.source) == ("deny", "MALFORMED_RESPONSE", "guard")


def test_two_messages_are_a_deny(client: Both) -> None:
    with serving(lambda asked: asked.reply(answer(asked), answer(asked))) as server:
        assert client(server.url, API_KEY).authorize(tool="mail").reason == "MALFORMED_RESPONSE"


def test_tries_again_with_the_same_key_and_another_nonce(client: Both) -> None:
    def respond(asked: Asked) -> None:
        if len(server.asked) == 1:
            asked.fail(UNAVAILABLE, "not now")
        elif len(server.asked) == 2:
            asked.drop()
        else:
            allow(asked)

    with serving(respond) as server:
        dc = client(server.url, API_KEY)
        assert dc.authorize(tool="mail", payload={"a": 1}).allowed
        assert len(server.asked) == 3
        assert len({asked.request.idempotency_key for asked in server.asked}) == 1
        assert len({asked.request.nonce for asked in server.asked}) == 3
        assert dc.circuit.consecutive_failures == 0


def test_tries_at_most_three_times_and_counts_once(client: Both) -> None:
    with serving(lambda asked: asked.fail(UNAVAILABLE)) as server:
        dc = client(server.url, API_KEY)
        verdict = dc.authorize(tool="mail")
        assert (verdict.decision, verdict.reason) == ("deny", "SERVICE_UNAVAILABLE")
        assert len(server.asked) == 3
        assert dc.circuit.consecutive_failures == 1


@pytest.mark.parametrize(
    ("status", "reason", "code", "failures"),
    [
        (INTERNAL, "SERVICE_UNAVAILABLE", None, 1),
        (UNAUTHENTICATED, "REQUEST_REFUSED", "BAD_CREDENTIAL", 0),
        (EXHAUSTED, "REQUEST_REFUSED", "RATE_LIMITED", 0),
        (INVALID, "REQUEST_REFUSED", "BAD_REQUEST", 0),
        (7, "REQUEST_REFUSED", "NOT_PERMITTED", 0),
        (4, "DEADLINE_EXCEEDED", None, 0),
    ],
)
def test_does_not_repeat_other_statuses(
    client: Both, status: int, reason: str, code: str | None, failures: int
) -> None:
    with serving(lambda asked: asked.fail(status, "because")) as server:
        dc = client(server.url, API_KEY)
        verdict = dc.authorize(tool="mail")
        assert (verdict.decision, verdict.reason, verdict.code) == ("deny", reason, code)
        assert len(server.asked) == 1
        assert dc.circuit.consecutive_failures == failures


def test_denies_at_once_while_the_circuit_is_open_and_probes_once_it_is_due(client: Both) -> None:
    with serving(lambda asked: asked.fail(INTERNAL)) as server:
        dc = client(server.url, API_KEY, probe_after=1.0)
        for _ in range(5):
            dc.authorize(tool="mail")
        assert dc.circuit.state == "open"
        assert dc.circuit.last_errors[0] == "INTERNAL"
        asked = len(server.asked)
        assert dc.authorize(tool="mail").reason == "CIRCUIT_OPEN"
        assert len(server.asked) == asked
        server.respond = allow
        time.sleep(dc.circuit.next_probe_in + 0.01)
        assert dc.authorize(tool="mail").allowed
        assert dc.circuit.state == "recovering"


def test_a_revoked_key_closes_the_circuit_and_is_denied(client: Both) -> None:
    with serving(lambda asked: asked.fail(INTERNAL)) as server:
        dc = client(server.url, API_KEY, circuit_failures=1, probe_after=0.01)
        dc.authorize(tool="mail")
        server.respond = lambda asked: asked.fail(UNAUTHENTICATED)
        time.sleep(0.02)
        assert dc.authorize(tool="mail").code == "BAD_CREDENTIAL"
        assert dc.circuit.state == "recovering"


CYCLE: dict[str, Any] = {}
CYCLE["self"] = CYCLE


class Sly(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "payload",
    [
        {"at": dt.datetime(2026, 1, 1)},
        {"n": float("nan")},
        {"n": float("-inf")},
        {"n": 2**53},
        {"n": -(2**60)},
        CYCLE,
        {"text": "\ud800"},
        {"\udfff": 1},
        {"nul": "\0"},
        {1: 2},
        {"set": {1}},
        {"bytes": b""},
        {"function": print},
        {"big": "x" * 300_000},
        [1],
        "text",
        7,
    ],
    ids=lambda value: str(value)[:30].encode("ascii", "replace").decode(),
)
def test_a_payload_that_is_not_json_is_denied_and_not_sent(client: Both, payload: Any) -> None:
    with serving(allow) as server:
        dc = client(server.url, API_KEY)
        verdict = dc.authorize(tool="mail", payload=payload, idempotency_key="k")
        assert (verdict.decision, verdict.reason, verdict.code) == ("deny", "REQUEST_REFUSED", "BAD_REQUEST")
        assert server.asked == []
        assert dc.circuit.consecutive_failures == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"tool": ""},
        {"tool": None},
        {"tool": 7},
        {"tool": "x" * 257},
        {"tool": "\ud800"},
        {"idempotency_key": "k" * 257},
        {"idempotency_key": ""},
        {"idempotency_key": 7},
        {"principal": "a\n"},
        {"principal": ""},
        {"session_id": "s" * 257},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": 601},
        {"timeout": float("nan")},
        {"timeout": "5"},
        {"timeout": True},
    ],
    ids=lambda value: str(value)[:40].encode("ascii", "replace").decode(),
)
def test_a_request_that_breaks_the_contract_is_denied_and_not_sent(client: Both, fields: dict[str, Any]) -> None:
    with serving(allow) as server:
        verdict = client(server.url, API_KEY).authorize(**{"tool": "mail", **fields})
        assert (verdict.decision, verdict.reason, verdict.code) == ("deny", "REQUEST_REFUSED", "BAD_REQUEST")
        assert server.asked == []


def test_what_a_subclass_pretends_to_be_is_not_seen(client: Both) -> None:
    with serving(allow) as server:
        assert client(server.url, API_KEY).authorize(tool="mail", payload={"sly": Sly(amount=7)}).allowed
        assert server.asked[0].request.payload["sly"]["amount"] == 7


def test_a_large_payload_passes_the_flow_control_windows(client: Both) -> None:
    with serving(allow) as server:
        assert client(server.url, API_KEY).authorize(tool="mail", payload={"text": "x" * 250_000}).allowed
        assert len(server.asked[0].request.payload["text"]) == 250_000


def test_tells_each_verdict_to_the_hook_whose_errors_change_nothing(
    client: Both, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[str, str]] = []

    def hook(verdict: Verdict, tool: str) -> None:
        seen.append((verdict.decision, tool))
        raise RuntimeError("the hook fails")

    with serving(allow) as server:
        dc = client(server.url, API_KEY, on_verdict=hook)
        assert dc.authorize(tool="mail").allowed
        assert not dc.authorize(tool="mail", payload={"n": float("nan")}).allowed
    assert seen == [("allow", "mail"), ("deny", "mail")]
    assert "on_verdict raised an error" in caplog.text


def test_sends_a_given_traceparent_and_that_of_the_active_span(client: Both) -> None:
    from opentelemetry import trace

    given_one = f"00-{'a' * 32}-{'b' * 16}-01"
    context = trace.SpanContext(1, 2, is_remote=False, trace_flags=trace.TraceFlags(1))
    with serving(allow) as server:
        dc = client(server.url, API_KEY)
        dc.authorize(tool="mail")
        dc.authorize(tool="mail", traceparent=given_one)
        dc.authorize(tool="mail", traceparent="nonsense")
        with trace.use_span(trace.NonRecordingSpan(context)):
            dc.authorize(tool="mail")
        sent = [asked.headers.get("traceparent") for asked in server.asked]
    assert sent == [None, given_one, None, f"00-{'0' * 31}1-{'0' * 15}2-01"]


def test_a_closed_client_denies(client: Both) -> None:
    with serving(allow) as server:
        dc = client(server.url, API_KEY)
        assert dc.authorize(tool="mail").allowed
        dc.close()
        verdict = dc.authorize(tool="mail")
        assert (verdict.decision, verdict.reason) == ("deny", "REQUEST_REFUSED")
        assert len(server.asked) == 1
        dc.close()


def test_asks_for_a_token_before_each_attempt(client: Both) -> None:
    tokens = iter(["first", "second"])

    def respond(asked: Asked) -> None:
        asked.fail(UNAVAILABLE) if len(server.asked) == 1 else allow(asked)

    with serving(respond) as server:
        assert client(server.url, token=lambda: next(tokens), agent_id=AGENT).authorize(tool="mail").allowed
        assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer first", "Bearer second"]


def raising() -> str:
    raise LookupError("the secret is s3cret")


def late() -> str:
    # More than half of the call's time, so that the service would have too little.
    time.sleep(0.8)
    return "late"


@pytest.mark.parametrize(
    "token", [raising, late, lambda: "", lambda: "two words", lambda: None, lambda: time.sleep(1.5)]
)
def test_without_a_token_nothing_is_asked_and_nothing_counts(client: Both, token: Any) -> None:
    with serving(allow) as server:
        dc = client(server.url, token=token, agent_id=AGENT)
        begun = time.monotonic()
        verdict = dc.authorize(tool="mail", timeout=1)
        assert time.monotonic() - begun < 1.4
        assert (verdict.decision, verdict.reason, verdict.code) == ("deny", "REQUEST_REFUSED", "BAD_CREDENTIAL")
        assert "s3cret" not in verdict.message
        assert server.asked == []
        assert dc.circuit.consecutive_failures == 0


def test_a_token_may_come_from_a_coroutine(client: Both) -> None:
    async def token() -> str:
        await asyncio.sleep(0)
        return "later"

    with serving(allow) as server:
        verdict = client(server.url, token=token, agent_id=AGENT).authorize(tool="mail")
        assert verdict.allowed is (client.kind == "async")
        assert verdict.code == (None if client.kind == "async" else "BAD_CREDENTIAL")


def test_a_sidecar_may_answer_as_a_guard_and_names_the_agent(client: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    def respond(asked: Asked) -> None:
        bypass = {"reason": decisions.REASON_CIRCUIT_BYPASS, "source": decisions.SOURCE_GUARD}
        asked.reply(answer(asked, **bypass))

    with serving(respond) as server:
        dc = client(server.url)
        verdict = dc.authorize(tool="mail", idempotency_key="k")
        assert (verdict.decision, verdict.reason, verdict.source) == ("allow", "CIRCUIT_BYPASS", "guard")
        assert "authorization" not in server.asked[0].headers
        # The derived key contains the agent, which only the sidecar knows.
        assert dc.authorize(tool="mail").code == "BAD_REQUEST"
        assert client(server.url, agent_id=AGENT).authorize(tool="mail").allowed
        assert not client(server.url, API_KEY).authorize(tool="mail").allowed
        address = server.url.removeprefix("http://")
        assert client(sidecar=address, agent_id=AGENT).authorize(tool="mail").allowed
        monkeypatch.setenv("DATACRAWL_SIDECAR", address)
        monkeypatch.setenv("DATACRAWL_API_KEY", API_KEY)
        assert client(agent_id="demo").authorize(tool="mail").allowed
        assert "authorization" not in server.asked[-1].headers


def test_a_sidecar_that_has_tried_is_not_asked_again_and_one_that_is_not_there_is(client: Both) -> None:
    with serving(lambda asked: asked.fail(UNAVAILABLE)) as server:
        dc = client(server.url)
        assert dc.authorize(tool="mail", idempotency_key="k").reason == "SERVICE_UNAVAILABLE"
        assert len(server.asked) == 1
        server.respond = lambda asked: asked.drop() if len(server.asked) == 2 else allow(asked)
        assert dc.authorize(tool="mail", idempotency_key="k").allowed
        assert len(server.asked) == 3


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=4) | st.builds(object))
def test_no_payload_raises(payload: Any) -> None:
    from datacrawl import DataCrawl

    with DataCrawl("http://127.0.0.1:1", API_KEY, circuit_failures=1) as dc:
        dc.authorize(tool="mail", timeout=0.05)
        verdict = dc.authorize(tool="mail", payload=payload)
        assert verdict.reason in ("REQUEST_REFUSED", "CIRCUIT_OPEN", "SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED")

"""
What the service said, if it said it in the one right form and to this very request; else malformed.

INVARIANT: the only place where bytes from the network become a decision or a start. The strictest reading wins, wherever a protocol or
a decoder would let something pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ._execution import AlreadyStarted, Execution, ExecutionOutcome, Recorded, Start, StartRefused
from ._outcome import Failure, malformed
from ._verdict import DECISION_OF, Decision, Source, Verdict
from ._wire import Fields, Undecodable, Value, decode

UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_DECISIONS: dict[int, Decision] = {1: "allow", 2: "deny", 4: "needs_review"}
_SOURCES: dict[int, Source] = {1: "service", 2: "guard"}
_SERVICE_REASONS = {
    1: "RULE_ALLOWED",
    2: "RULE_DENIED",
    3: "NO_MATCHING_RULE",
    4: "RULE_ERROR",
    5: "IDEMPOTENCY_KEY_REUSED",
    6: "AGENT_FROZEN",
    7: "REVIEW_PENDING",
    8: "REVIEW_APPROVED",
    9: "REVIEW_REJECTED",
    10: "REVIEW_EXPIRED",
}
_GUARD_REASONS = {
    20: "SERVICE_UNAVAILABLE",
    21: "DEADLINE_EXCEEDED",
    22: "MALFORMED_RESPONSE",
    23: "REQUEST_REFUSED",
    24: "CIRCUIT_OPEN",
    25: "CIRCUIT_BYPASS",
}
_REASONS: dict[Source, dict[int, str]] = {"service": _SERVICE_REASONS, "guard": _GUARD_REASONS}
OUTCOMES: dict[int, ExecutionOutcome] = {1: "succeeded", 2: "failed", 4: "unknown"}
_REFUSALS = {1: "UNKNOWN_DECISION", 2: "NOT_ALLOWED", 3: "EXPIRED", 4: "AGENT_FROZEN", 5: "APPROVAL_LAPSED"}
_STARTED, _ALREADY_STARTED, _REFUSED = 1, 2, 4

_ANSWER: Fields = {
    1: ("reason", "number"),
    2: ("message", "string"),
    3: ("decision_id", "string"),
    4: ("policy_version", "string"),
    5: ("replayed", "number"),
    6: ("decided_at", "timestamp"),
    7: ("rule_id", "string"),
    8: ("agent_id", "string"),
    9: ("tool", "string"),
    10: ("idempotency_key", "string"),
    11: ("nonce", "bytes"),
    12: ("source", "number"),
    15: ("decision", "number"),
}
_START: Fields = {
    1: ("reason", "number"),
    2: ("message", "string"),
    3: ("decision_id", "string"),
    4: ("nonce", "bytes"),
    5: ("agent_id", "string"),
    6: ("execution_id", "string"),
    7: ("started_at", "timestamp"),
    8: ("started_by", "string"),
    9: ("outcome", "number"),
    10: ("ended_at", "timestamp"),
    11: ("report_due_at", "timestamp"),
    12: ("source", "number"),
    15: ("state", "number"),
}
_REPORTED: Fields = {
    1: ("decision_id", "string"),
    2: ("execution_id", "string"),
    3: ("outcome", "number"),
    4: ("ended_at", "timestamp"),
    5: ("replayed", "number"),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class Expected:
    """What one request asked. An answer that does not repeat all of it is not an answer to it."""

    agent_id: str
    """Empty if only the sidecar knows the agent."""
    echoes: Mapping[str, Value]
    sidecar: bool
    """A guard may answer, too."""


class _Wrong(Exception):
    """Keeps an answer from being one."""


def read_answer(messages: list[bytes] | Failure, expected: Expected) -> Verdict | Failure:
    """A stream says what its last message says; only the last may say anything but that people decide."""
    if isinstance(messages, Failure):
        return messages
    verdict: Verdict | None = None
    try:
        for message in messages:
            if verdict is not None and verdict.decision != "needs_review":
                raise _Wrong("there is an answer after the last one")
            verdict = _verdict_of(_decoded(message, _ANSWER), expected)
    except _Wrong as wrong:
        return malformed(str(wrong))
    return malformed("the answer has no message") if verdict is None else verdict


def read_start(messages: list[bytes] | Failure, expected: Expected) -> Start | Failure:
    if isinstance(messages, Failure):
        return messages
    try:
        return _start_of(_decoded(messages[0], _START), expected)
    except _Wrong as wrong:
        return malformed(str(wrong))


def read_reported(messages: list[bytes] | Failure, echoes: Mapping[str, Value]) -> Recorded | Failure:
    if isinstance(messages, Failure):
        return messages
    try:
        unverified = _decoded(messages[0], _REPORTED)
        if any(unverified.get(name) != value for name, value in echoes.items()):
            raise _Wrong("the answer is for another report")
        ended_at = _time(unverified, "ended_at")
        if ended_at is None:
            raise _Wrong("the answer does not say when the report was recorded")
        return Recorded(ended_at=ended_at, replayed=_flag(unverified, "replayed"))
    except _Wrong as wrong:
        return malformed(str(wrong))


class _Unverified:
    """Decoded fields, with what proto3 says of absent ones."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def get(self, name: str) -> Value | None:
        return self._values.get(name)

    def has(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str:
        value = self._values.get(name, "")
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> int:
        value = self._values.get(name, 0)
        return value if isinstance(value, int) else -1


def _decoded(message: bytes, fields: Fields) -> _Unverified:
    try:
        return _Unverified(decode(message, fields))
    except Undecodable as error:
        raise _Wrong(f"the answer {error}") from None


def _verdict_of(unverified: _Unverified, expected: Expected) -> Verdict:
    decision = _DECISIONS.get(unverified.number("decision"))
    if decision is None:
        raise _Wrong("the answer holds no decision")
    source = _source(unverified, expected)
    reason = _REASONS[source].get(unverified.number("reason"))
    if reason is None:
        raise _Wrong(f"the {source} does not give reason {unverified.number('reason')}")
    if DECISION_OF[reason] != decision:
        raise _Wrong(f"the decision {decision} does not agree with the reason {reason}")
    _check_echoes(unverified, expected)
    if not UUID.fullmatch(unverified.text("decision_id")):
        raise _Wrong("the decision id is not a UUID")
    return Verdict(
        decision=decision,
        reason=reason,
        message=unverified.text("message"),
        decision_id=unverified.text("decision_id"),
        tool=unverified.text("tool"),
        idempotency_key=unverified.text("idempotency_key"),
        source=source,
        decided_at=_time(unverified, "decided_at") or datetime.now(timezone.utc),
        replayed=_flag(unverified, "replayed"),
        policy_version=unverified.text("policy_version"),
        rule_id=unverified.text("rule_id") or None,
    )


def _start_of(unverified: _Unverified, expected: Expected) -> Start:
    source = _source(unverified, expected)
    _check_echoes(unverified, expected)
    state = unverified.number("state")
    if state in (_STARTED, _ALREADY_STARTED):
        return _execution_of(unverified, source, is_started=state == _STARTED)
    if state != _REFUSED:
        raise _Wrong("the answer holds no state")
    reason = _REFUSALS.get(unverified.number("reason"))
    if reason is None:
        raise _Wrong(f"the service does not refuse for reason {unverified.number('reason')}")
    is_bare = unverified.text("execution_id") == "" and unverified.text("started_by") == ""
    times = any(unverified.has(name) for name in ("started_at", "ended_at", "report_due_at"))
    if not is_bare or times or unverified.number("outcome") != 0:
        raise _Wrong("a refusal tells of a start")
    return StartRefused(unverified.text("decision_id"), reason, unverified.text("message"), source)


def _execution_of(unverified: _Unverified, source: Source, *, is_started: bool) -> Execution | AlreadyStarted:
    execution_id, started_by = unverified.text("execution_id"), unverified.text("started_by")
    started_at, report_due_at = _time(unverified, "started_at"), _time(unverified, "report_due_at")
    ended_at = _time(unverified, "ended_at")
    if unverified.number("reason") != 0:
        raise _Wrong("a start has a reason of a refusal")
    if is_started != (execution_id != ""):
        raise _Wrong("the execution's id does not agree with the state")
    if is_started and not UUID.fullmatch(execution_id):
        raise _Wrong("the execution's id is not a UUID")
    if started_at is None or report_due_at is None or started_by == "":
        raise _Wrong("the start has no time or no credential")
    number = unverified.number("outcome")
    outcome = OUTCOMES.get(number)
    if outcome is None and number != 0:
        raise _Wrong(f"the contract has no outcome {number}")
    if (outcome is None) != (ended_at is None):
        raise _Wrong("the outcome and its time do not agree")
    decision_id, message = unverified.text("decision_id"), unverified.text("message")
    # INVARIANT: what has ended is not run, also if this very start began it: an operator may have resolved it meanwhile.
    if is_started and outcome is None:
        return Execution(decision_id, execution_id, started_at, started_by, report_due_at, message, source)
    return AlreadyStarted(decision_id, started_at, started_by, report_due_at, outcome, ended_at, message, source)


def _source(unverified: _Unverified, expected: Expected) -> Source:
    source = _SOURCES.get(unverified.number("source"))
    if source is None or (source == "guard" and not expected.sidecar):
        raise _Wrong("the answer is not from the service")
    return source


def _check_echoes(unverified: _Unverified, expected: Expected) -> None:
    if expected.agent_id and unverified.text("agent_id") != expected.agent_id:
        raise _Wrong("the answer is for another agent")
    for name, value in expected.echoes.items():
        if unverified.get(name) != value:
            raise _Wrong(f"the answer is for another {name.replace('_', ' ')}")


def _flag(unverified: _Unverified, name: str) -> bool:
    value = unverified.number(name)
    if value not in (0, 1):
        raise _Wrong(f"{name} is neither true nor false")
    return value == 1


def _time(unverified: _Unverified, name: str) -> datetime | None:
    if not unverified.has(name):
        return None
    return _EPOCH + timedelta(microseconds=unverified.number(name))

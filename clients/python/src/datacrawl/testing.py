"""Fakes of the clients for tests of agents. They connect to nothing, and deny every tool without an answer."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

from ._calls import AsyncAuthorizer, Authorizer, _Calls
from ._execution import (
    AlreadyStarted,
    Execution,
    ExecutionOutcome,
    NotRecorded,
    Recorded,
    Reported,
    Start,
    StartRefused,
)
from ._io import Io
from ._json import Json, NotJson, plain_copy
from ._outcome import RefusalCode
from ._verdict import DECISION_OF, Decision, Verdict

FakeAnswer: TypeAlias = "Decision | Callable[[dict[str, Any]], Decision]"
"""The answer for a tool: a decision, or a function that decides by the payload."""

_REASONS = {"allow": "RULE_ALLOWED", "deny": "RULE_DENIED", "needs_review": "REVIEW_PENDING"}
_RESOLUTIONS = {"allow": "REVIEW_APPROVED", "deny": "REVIEW_REJECTED", "needs_review": "REVIEW_PENDING"}


@dataclass(frozen=True, slots=True)
class FakeRequest:
    """A request that the fake has answered. Its payload is a copy."""

    tool: str
    payload: dict[str, Json]
    idempotency_key: str | None = None
    principal: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class FakeReport:
    """How an execution ended."""

    decision_id: str
    outcome: ExecutionOutcome
    error_code: str = ""


class _Fake(_Calls):
    """
        dc = FakeDataCrawl({"gmail.send_email": "allow", "stripe.refund": lambda payload: "allow" if payload["amount"] <= 100 else "deny"})
        run_agent(dc)
        assert dc.requests == [FakeRequest("gmail.send_email", {"to": "ann@example.com"})]

    :param answers: by tool; a tool without an answer is denied
    """

    def __init__(self, answers: Mapping[str, FakeAnswer] | None = None) -> None:
        self.requests: list[FakeRequest] = []
        """In order."""
        self.reports: list[FakeReport] = []
        """In order."""
        self._answers = dict(answers or {})
        self._reviews: dict[str, Verdict] = {}
        self._started: dict[str, Execution | AlreadyStarted] = {}
        self._logger = logging.getLogger("datacrawl")

    def resolve_review(self, decision_id: str, decision: Decision) -> None:
        """Decides a review, for later calls of `wait_for_review`. Raises KeyError if there is no such review."""
        pending = self._reviews[decision_id]
        reason = _RESOLUTIONS[decision]
        self._reviews[decision_id] = replace(pending, decision=DECISION_OF[reason], reason=reason)

    async def _ask(
        self,
        io: Io,
        *,
        tool: Any,
        payload: Any = None,
        idempotency_key: Any = None,
        principal: Any = None,
        session_id: Any = None,
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> Verdict:
        try:
            copy = plain_copy({} if payload is None else payload)
        except NotJson as error:
            return _verdict("REQUEST_REFUSED", tool, idempotency_key, message=f"{error}.", code="BAD_REQUEST")
        self.requests.append(FakeRequest(tool, copy, idempotency_key, principal, session_id))
        answer = self._answers.get(tool)
        decision = answer(copy) if callable(answer) else answer
        verdict = _verdict(_REASONS.get(decision or "", "NO_MATCHING_RULE"), tool, idempotency_key)
        if verdict.decision == "needs_review":
            self._reviews[verdict.decision_id] = verdict
        return verdict

    async def _wait(self, io: Io, decision_id: str, timeout: float) -> Verdict:
        found = self._reviews.get(decision_id)
        if found is not None:
            return found
        return replace(_verdict("REQUEST_REFUSED", "", None, code="BAD_REQUEST"), decision_id=decision_id)

    async def _start(self, io: Io, verdict: Verdict, timeout: float | None, traceparent: str | None = None) -> Start:
        """Each decision is started once, and so is each idempotency key that was given."""
        if not verdict.allowed:
            return StartRefused(verdict.decision_id, "NOT_ALLOWED", "The verdict is not an allow.", "service")
        key = verdict.idempotency_key or verdict.decision_id
        before = self._started.get(key)
        if before is not None:
            return _already(before)
        now = datetime.now(timezone.utc)
        message = "The fake starts each action once."
        due = now + timedelta(minutes=15)
        execution = Execution(verdict.decision_id, str(uuid.uuid4()), now, "fake", due, message, "service")
        self._started[key] = execution
        return execution

    async def _end(
        self,
        io: Io,
        execution: Execution,
        outcome: Any,
        *,
        error_code: str = "",
        duration: float | None = None,
        summary: str = "",
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> Reported:
        for key, found in self._started.items():
            if found.decision_id != execution.decision_id:
                continue
            if isinstance(found, AlreadyStarted):
                if found.outcome != outcome or found.ended_at is None:
                    break
                return Recorded(found.ended_at, replayed=True)
            now = datetime.now(timezone.utc)
            self._started[key] = replace(_already(found), outcome=outcome, ended_at=now)
            self.reports.append(FakeReport(execution.decision_id, outcome, error_code))
            return Recorded(now, replayed=False)
        return NotRecorded("REQUEST_REFUSED", "There is no such execution, or it ended otherwise.", "BAD_REQUEST")

    def _close(self) -> None:
        pass


class FakeDataCrawl(_Fake, Authorizer):
    __doc__ = f"A stand-in for `DataCrawl` in tests.\n{_Fake.__doc__}"


class AsyncFakeDataCrawl(_Fake, AsyncAuthorizer):
    __doc__ = f"A stand-in for `AsyncDataCrawl` in tests.\n{_Fake.__doc__}"


def _already(start: Execution | AlreadyStarted) -> AlreadyStarted:
    if isinstance(start, AlreadyStarted):
        return start
    return AlreadyStarted(
        start.decision_id,
        start.started_at,
        start.started_by,
        start.report_due_at,
        None,
        None,
        "The action was started before.",
        "service",
    )


def _verdict(
    reason: str, tool: str, idempotency_key: str | None, *, message: str = "", code: RefusalCode | None = None
) -> Verdict:
    return Verdict(
        decision=DECISION_OF[reason],
        reason=reason,
        message=message or f"The fake answers {reason}.",
        decision_id=str(uuid.uuid4()),
        tool=tool,
        idempotency_key=idempotency_key or "",
        source="service",
        decided_at=datetime.now(timezone.utc),
        code=code,
    )

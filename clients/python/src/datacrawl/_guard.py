"""Turns requests into verdicts: by asking the service, or with a deny of its own. Each function over an `Io`, see `_io.py`."""

from __future__ import annotations

import logging
import os
import secrets
import time
import unicodedata
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from ._answers import OUTCOMES, UUID, Expected, read_answer, read_reported, read_start
from ._circuit import Circuit, Outcome, Permit
from ._deadline import Deadline
from ._execution import Execution, NotRecorded, Recorded, Reported, Start, StartRefused
from ._ids import fraction
from ._io import Io
from ._outcome import Ended, Failure, count_of, explain
from ._question import NotAQuestion, Question, read_question
from ._review import wait_for_review
from ._transport import Rpc, Transport
from ._verdict import Verdict, deny, is_allow
from ._wire import Value, encode_bytes, encode_number, encode_struct, encode_text

Answer = TypeVar("Answer")

MAX_ATTEMPTS = 3
MAX_TIMEOUT = 600.0
MAX_WAIT = 7 * 86_400.0
_FIRST_PAUSE = 0.1
_WRONG_TIMEOUT = f"timeout must be a number of seconds, above 0 and at most {MAX_TIMEOUT:g}."
_WRONG_WAIT = f"timeout must be a number of seconds, above 0 and at most {MAX_WAIT:g}."
_OUTCOME_NUMBERS: dict[str, int] = {name: number for number, name in OUTCOMES.items()}


@dataclass(frozen=True, slots=True)
class GuardSettings:
    agent_id: str
    """Empty if only the sidecar knows it."""
    sidecar: bool
    timeout: float
    logger: logging.Logger


class Guard:
    def __init__(self, settings: GuardSettings, transport: Transport, circuit: Circuit) -> None:
        self._settings = settings
        self._transport = transport
        self.circuit = circuit
        _guards.add(self)

    async def authorize(
        self,
        io: Io,
        *,
        tool: object,
        payload: object,
        idempotency_key: object,
        principal: object,
        session_id: object,
        timeout: float | None,
        traceparent: str | None,
    ) -> Verdict:
        """Never raises, and never outlives the call's deadline. Whatever goes wrong is a deny."""
        asked_tool = ""
        try:
            asked_tool = tool if isinstance(tool, str) else ""
            deadline = self._deadline(timeout)
            if deadline is None:
                return deny("REQUEST_REFUSED", _WRONG_TIMEOUT, tool=asked_tool, code="BAD_REQUEST")
            question = read_question(
                self._settings.agent_id,
                tool=tool,
                payload=payload,
                idempotency_key=idempotency_key,
                principal=principal,
                session_id=session_id,
            )
            return await self._decide(io, question, deadline, traceparent)
        except NotAQuestion as error:
            return deny("REQUEST_REFUSED", str(error), tool=asked_tool, code="BAD_REQUEST")
        except Exception:
            self._bug()
            return deny("REQUEST_REFUSED", "The request could not be read.", tool=asked_tool, code="BAD_REQUEST")

    async def begin(self, io: Io, verdict: Verdict, *, timeout: float | None, traceparent: str | None) -> Start:
        """Never raises, and never outlives the call's deadline. Whatever goes wrong starts nothing."""
        decision_id = ""
        try:
            if not isinstance(verdict, Verdict):
                return _refused("", "The verdict is not one of this client's.")
            decision_id = verdict.decision_id
            deadline = self._deadline(timeout)
            if deadline is None:
                return _refused(decision_id, _WRONG_TIMEOUT)
            if not is_allow(verdict.decision):
                return _refused(decision_id, "The verdict is not an allow.")
            if not isinstance(decision_id, str) or not UUID.fullmatch(decision_id):
                return _refused(str(decision_id), "The decision id is not a UUID.")
            return await self._start(io, decision_id, deadline, traceparent)
        except Exception:
            self._bug()
            return _refused(decision_id, "The verdict could not be read.")

    async def report(
        self,
        io: Io,
        execution: Execution,
        outcome: str,
        *,
        error_code: str,
        duration: float | None,
        summary: str,
        timeout: float | None,
        traceparent: str | None,
    ) -> Reported:
        """Never raises, and never outlives the call's deadline. The circuit has no part in it: what was done belongs in the trail."""
        try:
            deadline = self._deadline(timeout)
            problem = _WRONG_TIMEOUT if deadline is None else _report_problem(outcome, error_code, duration, summary)
            if not isinstance(execution, Execution):
                problem = "The execution is not one that was started."
            if deadline is None or problem is not None:
                return NotRecorded("REQUEST_REFUSED", problem or "", "BAD_REQUEST")
            decision_id, execution_id = str(execution.decision_id), str(execution.execution_id)
            number = _OUTCOME_NUMBERS[outcome]
            message = (
                encode_text(1, decision_id)
                + encode_text(2, execution_id)
                + encode_number(3, number)
                + encode_text(4, error_code)
                + (b"" if duration is None else encode_number(5, round(duration * 1000)))
                + encode_text(6, summary)
            )
            echoes: dict[str, Value] = {"decision_id": decision_id, "execution_id": execution_id, "outcome": number}

            async def attempt() -> Recorded | Failure:
                rpc = Rpc("ReportOutcome", message, traceparent)
                return read_reported(await self._transport.call(io, rpc, deadline), echoes)

            answer = await self._with_retries(io, deadline, attempt)
            if isinstance(answer, Recorded):
                return answer
            reason, problem = explain(answer.failure)
            return NotRecorded(reason, problem, answer.failure.code, answer.failure.retry_after)
        except Exception:
            self._bug()
            return NotRecorded("REQUEST_REFUSED", "The report could not be read.", "BAD_REQUEST")

    async def wait_for_review(self, io: Io, decision_id: str, *, timeout: float) -> Verdict:
        """
        Watches a decision until its review is resolved, over as many streams as it takes. Never raises, and ends with the timeout: with
        the pending answer, if the service has given one, and else with a deny. Neither uses nor changes the circuit.
        """
        try:
            if not _is_seconds(timeout, MAX_WAIT):
                return deny("REQUEST_REFUSED", _WRONG_WAIT, code="BAD_REQUEST")
            if not isinstance(decision_id, str) or not UUID.fullmatch(decision_id):
                return deny("REQUEST_REFUSED", "The decision id is not a UUID.", code="BAD_REQUEST")
            deadline = Deadline.after(timeout)
            settings = self._settings
            return await wait_for_review(
                io, self._transport, decision_id, deadline, agent_id=settings.agent_id, sidecar=settings.sidecar
            )
        except Exception:
            self._bug()
            return deny("REQUEST_REFUSED", "The review could not be waited for.", code="BAD_REQUEST")

    def close(self) -> None:
        self._transport.close()

    def after_fork(self) -> None:
        self.circuit.after_fork()
        self._transport.after_fork()

    async def _decide(self, io: Io, question: Question, deadline: Deadline, traceparent: str | None) -> Verdict:
        permit = self.circuit.permit()
        tool, key = question.tool, question.idempotency_key
        if self._transport.closed:
            self.circuit.report(permit, "ignored")
            return deny("REQUEST_REFUSED", "The client is closed.", code="BAD_REQUEST", tool=tool, idempotency_key=key)
        if permit.kind == "denied":
            seconds = -(-permit.retry_in_ms // 1000)
            message = f"The circuit is open after repeated failures of the service; the next try may be in {seconds} s."
            return deny("CIRCUIT_OPEN", message, tool=tool, idempotency_key=key)

        async def attempt(until: Deadline) -> Verdict | Failure:
            nonce = secrets.token_bytes(16)
            rpc = Rpc("Authorize", _authorize_request(question, nonce), traceparent)
            expected = self._expected({"tool": tool, "idempotency_key": key, "nonce": nonce})
            return read_answer(await self._transport.call(io, rpc, until), expected)

        answer = await self._through_circuit(io, permit, deadline, attempt)
        if isinstance(answer, Verdict):
            return answer
        failure = answer.failure
        reason, message = explain(failure)
        return deny(reason, message, code=failure.code, retry_after=failure.retry_after, tool=tool, idempotency_key=key)

    async def _start(self, io: Io, decision_id: str, deadline: Deadline, traceparent: str | None) -> Start:
        permit = self.circuit.permit()
        if permit.kind == "denied":
            return StartRefused(
                decision_id, "CIRCUIT_OPEN", "The circuit is open, so the service was not asked.", "guard"
            )
        # INVARIANT: all attempts have the same nonce, so a start whose answer was lost is found again, and is one start.
        nonce = secrets.token_bytes(16)
        rpc = Rpc("BeginExecution", encode_text(1, decision_id) + encode_bytes(2, nonce), traceparent)
        expected = self._expected({"decision_id": decision_id, "nonce": nonce})

        async def attempt(until: Deadline) -> Start | Failure:
            return read_start(await self._transport.call(io, rpc, until), expected)

        answer: Start | Ended = await self._through_circuit(io, permit, deadline, attempt)
        if isinstance(answer, Ended):
            reason, message = explain(answer.failure)
            return StartRefused(decision_id, reason, message, "guard", answer.failure.code, answer.failure.retry_after)
        return answer

    async def _through_circuit(
        self,
        io: Io,
        permit: Permit,
        deadline: Deadline,
        attempt: Callable[[Deadline], Awaitable[Answer | Failure]],
    ) -> Answer | Ended:
        """Calls the service with a permit of the circuit's, and reports how it went: once, whatever the attempts."""
        until = deadline.within(permit.lease_ms / 1000) if permit.kind == "probe" else deadline
        # A cancellation or an interrupt, which pass through here, say nothing of the service.
        outcome: Outcome = "ignored"
        error = ""
        try:
            answer = await self._with_retries(io, until, lambda: attempt(until))
            ended = answer if isinstance(answer, Ended) else None
            outcome = count_of(ended, probe=permit.kind == "probe")
            error = ended.failure.problem or ended.failure.kind if ended else ""
            return answer
        finally:
            self.circuit.report(permit, outcome, error)

    async def _with_retries(
        self, io: Io, deadline: Deadline, attempt: Callable[[], Awaitable[Answer | Failure]]
    ) -> Answer | Ended:
        """Tries until an attempt comes to something else than that the service is unavailable, at most three times."""
        started = time.monotonic()
        attempts = 0
        while True:
            attempts += 1
            answer = await attempt()
            if not isinstance(answer, Failure):
                return answer
            # A sidecar that answers UNAVAILABLE has tried already.
            again = answer.kind == "unavailable" and not (self._settings.sidecar and answer.said)
            # Grows threefold, and half of it is chance: processes that failed together do not come back together.
            pause = _FIRST_PAUSE * 3 ** (attempts - 1) * (0.5 + fraction() / 2)
            if not again or attempts == MAX_ATTEMPTS or pause >= deadline.left:
                return Ended(answer, took=time.monotonic() - started, failed_before=attempts > 1)
            await io.sleep(pause)

    def _expected(self, echoes: dict[str, Value]) -> Expected:
        return Expected(self._settings.agent_id, echoes, self._settings.sidecar)

    def _deadline(self, timeout: float | None) -> Deadline | None:
        """None if the timeout is not one."""
        seconds = self._settings.timeout if timeout is None else timeout
        return Deadline.after(seconds) if _is_seconds(seconds, MAX_TIMEOUT) else None

    def _bug(self) -> None:
        self._settings.logger.exception("an error that should not exist; its call was denied")


def _refused(decision_id: str, message: str) -> StartRefused:
    return StartRefused(decision_id, "REQUEST_REFUSED", message, "guard", "BAD_REQUEST")


def _authorize_request(question: Question, nonce: bytes) -> bytes:
    return (
        encode_text(1, question.tool)
        + encode_bytes(2, encode_struct(question.payload))
        + encode_text(3, question.idempotency_key)
        + encode_text(4, question.agent_id)
        + encode_bytes(5, nonce)
        + encode_text(6, question.principal or "")
        + encode_text(7, question.session_id or "")
    )


def _report_problem(outcome: object, error_code: object, duration: object, summary: object) -> str | None:
    """What the contract does not permit in a report, as a sentence."""
    if not isinstance(outcome, str) or outcome not in _OUTCOME_NUMBERS:
        return 'outcome must be "succeeded", "failed" or "unknown".'
    if not _is_text(error_code, 128, lambda character: unicodedata.category(character) == "Cc"):
        return "error_code must be a str of at most 128 bytes without control characters."
    if duration is not None and not (isinstance(duration, (int, float)) and 0 <= duration <= 2**53 / 1000):
        return "duration must be a number of seconds from 0."
    if not _is_text(summary, 1024, lambda character: character == "\0"):
        return "summary must be a str of at most 1024 bytes without NUL."
    return None


def _is_text(value: object, max_bytes: int, forbidden: Callable[[str], bool]) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return len(value.encode()) <= max_bytes and not any(forbidden(character) for character in value)
    except UnicodeEncodeError:
        return False


def _is_seconds(value: object, maximum: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= maximum


_guards: weakref.WeakSet[Guard] = weakref.WeakSet()


def _after_fork() -> None:
    for guard in list(_guards):
        guard.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

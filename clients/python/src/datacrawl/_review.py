from __future__ import annotations

import secrets
import time

from ._answers import Expected, read_answer
from ._deadline import Deadline
from ._ids import fraction
from ._io import Io
from ._outcome import Failure, RefusalCode
from ._transport import Rpc, Transport
from ._verdict import Verdict, deny
from ._wire import encode_bytes, encode_text

_STREAM_SECONDS = 60.0
"""One stream lasts no longer, so that a connection that has died without a word is found out."""
_GRACE_SECONDS = 5.0
_FIRST_PAUSE = 0.25
_MAX_PAUSE = 5.0


async def wait_for_review(
    io: Io, transport: Transport, decision_id: str, deadline: Deadline, *, agent_id: str, sidecar: bool
) -> Verdict:
    """Over as many streams as it takes, with pauses that grow while they fail. Each begins with the current answer."""
    pending: Verdict | None = None
    last: Verdict | Failure | None = None
    pause = _FIRST_PAUSE
    while True:
        started = time.monotonic()
        nonce = secrets.token_bytes(16)
        message = encode_text(1, decision_id) + encode_bytes(2, nonce)
        rpc = Rpc("WatchDecision", message, streams=True, timeout=_STREAM_SECONDS)
        expected = Expected(agent_id, {"decision_id": decision_id, "nonce": nonce}, sidecar)
        answer = read_answer(await transport.call(io, rpc, deadline.within(_STREAM_SECONDS + _GRACE_SECONDS)), expected)
        if isinstance(answer, Verdict):
            if answer.decision != "needs_review":
                return answer
            pending = answer
            pause = _FIRST_PAUSE
        elif answer.kind == "refused" and answer.code != "RATE_LIMITED":
            return _deny(decision_id, "REQUEST_REFUSED", answer.problem, answer.code)
        if deadline.passed:
            return _unresolved(decision_id, last) if pending is None else pending
        # Half of it is chance: those who lost a service together do not come back together.
        seconds = max(_FIRST_PAUSE, pause - (time.monotonic() - started)) * (0.5 + fraction() / 2)
        if seconds >= deadline.left:
            await io.sleep(max(0.0, deadline.left))
            return _unresolved(decision_id, answer) if pending is None else pending
        await io.sleep(seconds)
        if isinstance(answer, Failure):
            pause = min(pause * 2, _MAX_PAUSE)
        last = answer


def _unresolved(decision_id: str, last: Verdict | Failure | None) -> Verdict:
    """Nobody has decided, as far as is known."""
    if last is None or isinstance(last, Verdict) or last.kind in ("late", "deadline"):
        return _deny(decision_id, "DEADLINE_EXCEEDED", "there was no answer in time")
    if last.kind == "unsent":
        return _deny(decision_id, "REQUEST_REFUSED", last.problem, last.code)
    reason = "MALFORMED_RESPONSE" if last.kind == "malformed" else "SERVICE_UNAVAILABLE"
    return _deny(decision_id, reason, last.problem)


def _deny(decision_id: str, reason: str, problem: str, code: RefusalCode | None = None) -> Verdict:
    """Under the watched decision's id: nothing else was decided."""
    message = f"The review could not be waited for: {problem}."
    return deny(reason, message, decision_id=decision_id, code=code)

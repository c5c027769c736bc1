"""What an attempt to ask the service came to, and what that counts as."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ._circuit import Outcome

RefusalCode: TypeAlias = Literal["RATE_LIMITED", "BAD_CREDENTIAL", "NOT_PERMITTED", "BAD_REQUEST"]
"""Over the agent's rate or the service's limits; a credential that is missing, unknown, expired or revoked; a credential that does not
permit this request; a request that breaks the contract."""

FailureKind: TypeAlias = Literal[
    # Not a well-formed answer to this request.
    "malformed",
    # Not reached, or it said UNAVAILABLE: the same request may be sent again.
    "unavailable",
    # Another failure of the service.
    "failed",
    # The service declined to decide this request: a credential, an argument, a limit.
    "refused",
    # The agent could not say who it is, so that nothing was sent, and nothing is known of the service.
    "unsent",
    # The service says that the deadline has passed.
    "late",
    # The deadline passed here.
    "deadline",
]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer."""

    kind: FailureKind
    problem: str = ""
    """For people: part of a sentence."""
    code: RefusalCode | None = None
    """Of a refusal."""
    retry_after: float | None = None
    """Seconds that the service asks to wait."""
    said: bool = False
    """The service said so itself, by a status."""
    busy: bool = False
    """Of a deadline: this process looked at it so late that the wait says nothing of the service."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call without an answer ended, whatever its attempts."""

    failure: Failure
    took: float
    """Seconds from the first attempt."""
    failed_before: bool
    """An attempt before the last one failed."""


_MAX_PROBLEM = 200
FAIR_SECONDS = 1.0
"""A deadline speaks against the service only if it left as much time."""

STATUSES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

_REFUSALS: dict[str, RefusalCode] = {
    "RESOURCE_EXHAUSTED": "RATE_LIMITED",
    "UNAUTHENTICATED": "BAD_CREDENTIAL",
    "PERMISSION_DENIED": "NOT_PERMITTED",
    "INVALID_ARGUMENT": "BAD_REQUEST",
    "NOT_FOUND": "BAD_REQUEST",
    "ALREADY_EXISTS": "BAD_REQUEST",
    "FAILED_PRECONDITION": "BAD_REQUEST",
    "OUT_OF_RANGE": "BAD_REQUEST",
}


def failure_of_status(status: str, detail: str, retry_after: float | None = None) -> Failure:
    """What a status other than OK says. `detail` is the service's own message."""
    problem = excerpt(status if detail == "" else f"{status}: {detail.removesuffix('.')}")
    if status == "UNAVAILABLE":
        return Failure("unavailable", problem, said=True)
    if status == "DEADLINE_EXCEEDED":
        return Failure("late", problem)
    code = _REFUSALS.get(status)
    if code is not None:
        return Failure("refused", problem, code, retry_after)
    return Failure("failed", problem)


def malformed(problem: str) -> Failure:
    return Failure("malformed", excerpt(problem))


def count_of(ended: Ended | None, *, probe: bool) -> Outcome:
    """What a call reports to the circuit, once for all its attempts. None: it was answered."""
    if ended is None:
        return "success"
    kind = ended.failure.kind
    if kind in ("malformed", "unavailable", "failed"):
        return "failure"
    if kind == "late":
        return "failure" if ended.took >= FAIR_SECONDS else "ignored"
    if kind == "deadline":
        if ended.failed_before:
            return "failure"
        return "ignored" if ended.failure.busy or ended.took < FAIR_SECONDS else "failure"
    if kind == "refused":
        # A service that refuses is there, which is all that a probe asks.
        return "success" if probe else "ignored"
    return "ignored"


def explain(failure: Failure) -> tuple[str, str]:
    """The guard's reason and message for a failure."""
    kind, problem = failure.kind, failure.problem
    if kind == "malformed":
        return "MALFORMED_RESPONSE", f"The answer was malformed: {problem}."
    if kind in ("unavailable", "failed"):
        return "SERVICE_UNAVAILABLE", f"The service failed: {problem}."
    if kind in ("refused", "unsent"):
        return "REQUEST_REFUSED", f"The request was refused: {problem}."
    return "DEADLINE_EXCEEDED", "There was no answer before the deadline."


def excerpt(text: str) -> str:
    """Text from elsewhere, cut and without what controls terminals and the direction of text."""
    return "".join(
        " " if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") else character
        for character in text[:_MAX_PROBLEM]
    )

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal, TypeAlias

from ._ids import uuid7
from ._outcome import RefusalCode

Decision: TypeAlias = Literal["allow", "deny", "needs_review"]
Source: TypeAlias = Literal["service", "guard"]

DECISION_OF: dict[str, Decision] = {
    "RULE_ALLOWED": "allow",
    "RULE_DENIED": "deny",
    "NO_MATCHING_RULE": "deny",
    "RULE_ERROR": "deny",
    "IDEMPOTENCY_KEY_REUSED": "deny",
    "AGENT_FROZEN": "deny",
    "REVIEW_PENDING": "needs_review",
    "REVIEW_APPROVED": "allow",
    "REVIEW_REJECTED": "deny",
    "REVIEW_EXPIRED": "deny",
    "SERVICE_UNAVAILABLE": "deny",
    "DEADLINE_EXCEEDED": "deny",
    "MALFORMED_RESPONSE": "deny",
    "REQUEST_REFUSED": "deny",
    "CIRCUIT_OPEN": "deny",
    "CIRCUIT_BYPASS": "allow",
}
"""The one decision that each reason agrees with. An answer in which the two disagree is not an answer."""


def is_allow(decision: object) -> bool:
    """
    The one place where an answer becomes permission to act.

    INVARIANT: an equality with allow; never "is not deny".
    """
    return decision == "allow"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "may this agent do this?". Act only if `allowed` is true."""

    decision: Decision
    """What was decided. Only "allow" means yes."""
    reason: str
    """Why: a stable code of the contract, without the prefix REASON_."""
    message: str
    """The reason as a sentence for people. Not stable."""
    decision_id: str
    """UUID of the decision in the audit trail. A deny of this client alone (`source` "guard", without a sidecar) is not recorded there."""
    tool: str
    """The tool that was asked about; empty if it is not known."""
    idempotency_key: str
    """The key that the request went under, given or derived; empty if the request breaks the contract."""
    source: Source
    """Who decided: the service from policy, or a guard alone: this client, or the sidecar that it asks."""
    decided_at: datetime
    """By the clock of the service or guard that decided."""
    replayed: bool = False
    """Whether the decision was made for an earlier request with the same key."""
    policy_version: str = ""
    """Digest of the policy bundle that decided; empty if a guard did."""
    rule_id: str | None = None
    """The rule that decided, or None."""
    code: RefusalCode | None = None
    """Why the request was refused; None unless the reason is REQUEST_REFUSED."""
    retry_after: float | None = None
    """Seconds that the service asks to wait before a retry; None if it does not say."""

    @property
    def allowed(self) -> bool:
        """True only for an explicit allow."""
        return is_allow(self.decision)

    def __bool__(self) -> bool:
        """As `allowed`, so that `if verdict:` is not true for a deny."""
        return self.allowed


def deny(
    reason: str,
    message: str,
    *,
    tool: str = "",
    idempotency_key: str = "",
    decision_id: str = "",
    code: RefusalCode | None = None,
    retry_after: float | None = None,
) -> Verdict:
    """A verdict of this client alone, which never allows."""
    return Verdict(
        decision="deny",
        reason=reason,
        message=message,
        decision_id=decision_id or uuid7(),
        tool=tool,
        idempotency_key=idempotency_key,
        source="guard",
        decided_at=datetime.now(timezone.utc),
        code=code,
        retry_after=retry_after,
    )

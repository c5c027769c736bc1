from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from ._outcome import RefusalCode
from ._verdict import Source

ExecutionOutcome: TypeAlias = Literal["succeeded", "failed", "unknown"]
"""How an execution ended. unknown: nobody knows whether the action happened."""


@dataclass(frozen=True, slots=True)
class Execution:
    """An allowed decision that this call has started: run the tool, once, and report how it ended."""

    decision_id: str
    execution_id: str
    """UUID. The report names it."""
    started_at: datetime
    started_by: str
    """The public id of the credential that started it; under a sidecar's bypass the id of its journal."""
    report_due_at: datetime
    """Without a report by then it counts as unresolved."""
    message: str
    source: Source
    state: Literal["started"] = field(default="started", init=False)


@dataclass(frozen=True, slots=True)
class AlreadyStarted:
    """The decision was started before. The tool has run, is running, or its process has died."""

    decision_id: str
    started_at: datetime | None
    """None if it is not known."""
    started_by: str
    """Empty if it is not known."""
    report_due_at: datetime | None
    outcome: ExecutionOutcome | None
    """How it ended; None as long as that is not known."""
    ended_at: datetime | None
    message: str
    source: Source
    state: Literal["already_started"] = field(default="already_started", init=False)


@dataclass(frozen=True, slots=True)
class StartRefused:
    """The decision was not started, as far as is known."""

    decision_id: str
    reason: str
    """UNKNOWN_DECISION, NOT_ALLOWED, EXPIRED, AGENT_FROZEN or APPROVAL_LAPSED; or, as in a verdict, why the service could not be asked."""
    message: str
    source: Source
    code: RefusalCode | None = None
    retry_after: float | None = None
    state: Literal["refused"] = field(default="refused", init=False)


Start: TypeAlias = "Execution | AlreadyStarted | StartRefused"
"""What became of a start. Run the tool only if `state` is "started"."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The outcome is on record, by this report or by an equal one before it."""

    ended_at: datetime
    replayed: bool
    """It had been recorded before."""
    state: Literal["recorded"] = field(default="recorded", init=False)


@dataclass(frozen=True, slots=True)
class NotRecorded:
    """The outcome is not on record, as far as is known: the execution stays without an end, and will count as unresolved."""

    reason: str
    message: str
    code: RefusalCode | None = None
    retry_after: float | None = None
    state: Literal["not_recorded"] = field(default="not_recorded", init=False)


Reported: TypeAlias = "Recorded | NotRecorded"

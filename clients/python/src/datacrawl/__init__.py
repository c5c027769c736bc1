"""
DataCrawl for agents: ask before you act, and act only if the verdict is allowed.

    from datacrawl import DataCrawl

    dc = DataCrawl()
    verdict = dc.authorize(tool="gmail.send_email", payload=payload, idempotency_key=f"send-{message_id}")
    if verdict.allowed:
        send_email(payload)
"""

from ._calls import AsyncAuthorizer, Authorizer
from ._circuit import CircuitSnapshot
from ._client import AsyncDataCrawl, DataCrawl
from ._credentials import TokenSource
from ._errors import AlreadyStartedError, DeniedError, NotStartedError
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
from ._outcome import RefusalCode
from ._verdict import Decision, Source, Verdict, is_allow

__all__ = [
    "AlreadyStarted",
    "AlreadyStartedError",
    "AsyncAuthorizer",
    "AsyncDataCrawl",
    "Authorizer",
    "CircuitSnapshot",
    "DataCrawl",
    "Decision",
    "DeniedError",
    "Execution",
    "ExecutionOutcome",
    "NotRecorded",
    "NotStartedError",
    "Recorded",
    "RefusalCode",
    "Reported",
    "Source",
    "Start",
    "StartRefused",
    "TokenSource",
    "Verdict",
    "is_allow",
]

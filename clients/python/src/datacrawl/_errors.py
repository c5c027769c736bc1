from __future__ import annotations

from ._execution import AlreadyStarted, StartRefused
from ._verdict import Verdict


class DeniedError(Exception):
    """A protected action was not allowed, so it did not run."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"{verdict.tool or 'the action'} is not allowed ({verdict.reason}): {verdict.message}")
        self.verdict = verdict


class AlreadyStartedError(Exception):
    """A protected action was started before, by this process or another one, so it did not run now."""

    def __init__(self, verdict: Verdict, execution: AlreadyStarted) -> None:
        super().__init__(f"{verdict.tool} was started before, by decision {execution.decision_id}: {execution.message}")
        self.verdict = verdict
        self.execution = execution


class NotStartedError(Exception):
    """A protected action was allowed and could not be started, so it did not run."""

    def __init__(self, verdict: Verdict, start: StartRefused) -> None:
        super().__init__(f"{verdict.tool} was not started ({start.reason}): {start.message}")
        self.verdict = verdict
        self.start = start

"""The methods of the clients and of their fakes, blocking and for asyncio: one doing over an `Io`, two ways to wait for it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, TypeVar

from ._execution import Execution, ExecutionOutcome, Reported, Start
from ._io import ASYNCIO, BLOCKING, Io, run
from ._protect import ProtectOptions, protect
from ._verdict import Verdict

F = TypeVar("F", bound=Callable[..., Any])
Self = TypeVar("Self", bound="_Calls")

DEFAULT_WAIT = 60.0


class _Calls(ABC):
    """What the methods need: the same calls, over any `Io`."""

    _logger: logging.Logger

    @abstractmethod
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
    ) -> Verdict: ...

    @abstractmethod
    async def _wait(self, io: Io, decision_id: str, timeout: float) -> Verdict: ...

    @abstractmethod
    async def _start(
        self, io: Io, verdict: Verdict, timeout: float | None, traceparent: str | None = None
    ) -> Start: ...

    @abstractmethod
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
    ) -> Reported: ...

    @abstractmethod
    def _close(self) -> None: ...


class Authorizer(_Calls):
    """What `DataCrawl` and its fake both are: annotate with it what takes either."""

    def authorize(
        self,
        *,
        tool: str,
        payload: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
        principal: str | None = None,
        session_id: str | None = None,
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> Verdict:
        """
        Asks whether the agent may do this. Never raises, and never outlives its deadline: whatever goes wrong is a deny. Act only if
        the verdict is `allowed`.

        :param tool: such as gmail.send_email; 1 to 256 bytes
        :param payload: the tool's arguments: JSON values, at most 256 KiB as JSON, nested at most 32 deep
        :param idempotency_key: names this action; 1 to 256 bytes. Retries use the same key, another action another one.
            Default: derived from agent, tool, payload and principal, so that two equal requests within 24 hours are one action
        :param principal: the person or service on whose behalf the agent acts; 1 to 256 bytes without control characters
        :param session_id: the run or conversation, likewise; not part of the derived key
        :param timeout: seconds, above 0 and at most 600. Default: the client's
        :param traceparent: W3C. Default: that of the active span of OpenTelemetry
        """
        return run(
            self._ask(
                BLOCKING,
                tool=tool,
                payload=payload,
                idempotency_key=idempotency_key,
                principal=principal,
                session_id=session_id,
                timeout=timeout,
                traceparent=traceparent,
            )
        )

    def wait_for_review(self, decision_id: str, *, timeout: float = DEFAULT_WAIT) -> Verdict:
        """
        Waits for people to decide a call that was answered needs_review. Never raises, and never outlives its timeout (seconds, at most
        seven days): then the verdict is still needs_review. Act only if it is `allowed`.
        """
        return run(self._wait(BLOCKING, decision_id, timeout))

    def begin(self, verdict: Verdict, *, timeout: float | None = None, traceparent: str | None = None) -> Start:
        """
        Starts an allowed decision, once for all processes of the agent. Never raises, and never outlives its deadline. Run the tool only
        if the start's `state` is "started", and then report how it ended.
        """
        return run(self._start(BLOCKING, verdict, timeout, traceparent))

    def report(
        self,
        execution: Execution,
        outcome: ExecutionOutcome,
        *,
        error_code: str = "",
        duration: float | None = None,
        summary: str = "",
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> Reported:
        """
        Reports how an execution ended. Never raises, and never outlives its deadline.

        :param outcome: succeeded; failed, the action did not happen; unknown, nobody knows
        :param error_code: such as HTTP_503; at most 128 bytes
        :param duration: seconds that the tool ran
        :param summary: what happened, for people; at most 1,024 bytes
        """
        return run(
            self._end(
                BLOCKING,
                execution,
                outcome,
                error_code=error_code,
                duration=duration,
                summary=summary,
                timeout=timeout,
                traceparent=traceparent,
            )
        )

    def protect(
        self,
        tool: str,
        *,
        key: Callable[..., str] | None = None,
        payload: Callable[..., dict[str, Any]] | None = None,
        principal: str | Callable[..., str | None] | None = None,
        session_id: str | Callable[..., str | None] | None = None,
        timeout: float | None = None,
        on_review: Literal["deny", "wait"] = "deny",
        review_timeout: float = DEFAULT_WAIT,
        once: bool = True,
        on_already_started: Literal["raise", "run"] = "raise",
    ) -> Callable[[F], F]:
        """
        Decorates a function that runs only if it is allowed, and once: it asks, starts, runs and reports.

            @dc.protect("gmail.send_email", key=lambda to, message_id: f"send-{message_id}")
            def send_email(to, message_id): ...

        Without `payload` the payload is the function's arguments by name, and the function is called with the copy that was allowed.
        A coroutine function stays one.

        Functions of the arguments take those that their parameters name, or all in the same order.

        :param key: the idempotency key, a function of the arguments. Default: derived from agent, tool, payload and principal
        :param payload: the payload, a function of the arguments, which are then passed on as they are
        :param principal: on whose behalf, or a function of the arguments
        :param session_id: the run or conversation, or a function of the arguments
        :param timeout: seconds that the verdict, the start and the report may take each
        :param on_review: on needs_review: "deny" raises at once; "wait" waits for people, and then runs or raises
        :param review_timeout: seconds that "wait" waits
        :param once: False: it runs as often as it is allowed, without start and report
        :param on_already_started: "run" runs it again, unreported, for tools that are idempotent by themselves
        :raises DeniedError: from the decorated function, which did not run
        :raises AlreadyStartedError: likewise; it was started before, by this process or another one
        :raises NotStartedError: likewise; it could not be started
        """
        options = ProtectOptions(
            key, payload, principal, session_id, timeout, on_review, review_timeout, once, on_already_started
        )
        return lambda function: protect(self, tool, options, function, asynchronous=False)

    def close(self) -> None:
        """Closes the connections. Later calls are denied."""
        self._close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncAuthorizer(_Calls):
    """What `AsyncDataCrawl` and its fake both are: annotate with it what takes either."""

    async def authorize(
        self,
        *,
        tool: str,
        payload: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
        principal: str | None = None,
        session_id: str | None = None,
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> Verdict:
        """As `DataCrawl.authorize`. It raises nothing but the cancellation of its own task."""
        return await self._ask(
            ASYNCIO,
            tool=tool,
            payload=payload,
            idempotency_key=idempotency_key,
            principal=principal,
            session_id=session_id,
            timeout=timeout,
            traceparent=traceparent,
        )

    async def wait_for_review(self, decision_id: str, *, timeout: float = DEFAULT_WAIT) -> Verdict:
        """As `DataCrawl.wait_for_review`."""
        return await self._wait(ASYNCIO, decision_id, timeout)

    async def begin(self, verdict: Verdict, *, timeout: float | None = None, traceparent: str | None = None) -> Start:
        """As `DataCrawl.begin`."""
        return await self._start(ASYNCIO, verdict, timeout, traceparent)

    async def report(
        self,
        execution: Execution,
        outcome: ExecutionOutcome,
        *,
        error_code: str = "",
        duration: float | None = None,
        summary: str = "",
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> Reported:
        """As `DataCrawl.report`."""
        return await self._end(
            ASYNCIO,
            execution,
            outcome,
            error_code=error_code,
            duration=duration,
            summary=summary,
            timeout=timeout,
            traceparent=traceparent,
        )

    def protect(
        self,
        tool: str,
        *,
        key: Callable[..., str] | None = None,
        payload: Callable[..., dict[str, Any]] | None = None,
        principal: str | Callable[..., str | None] | None = None,
        session_id: str | Callable[..., str | None] | None = None,
        timeout: float | None = None,
        on_review: Literal["deny", "wait"] = "deny",
        review_timeout: float = DEFAULT_WAIT,
        once: bool = True,
        on_already_started: Literal["raise", "run"] = "raise",
    ) -> Callable[[F], F]:
        """As `DataCrawl.protect`; the decorated function is a coroutine function, also if it was a plain one."""
        options = ProtectOptions(
            key, payload, principal, session_id, timeout, on_review, review_timeout, once, on_already_started
        )
        return lambda function: protect(self, tool, options, function, asynchronous=True)

    async def close(self) -> None:
        """Closes the connections. Later calls are denied."""
        self._close()

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

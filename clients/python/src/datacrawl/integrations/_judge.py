"""
How one tool call is judged, for every framework: ask, wait for a review, begin, run with the judged arguments, report.

The adapters of the frameworks say how a call is read, how the tool is run and what a refusal looks like. All else is here.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypedDict

from .._calls import DEFAULT_WAIT, AsyncAuthorizer, Authorizer, _Calls
from .._errors import AlreadyStartedError, DeniedError, NotStartedError
from .._json import NotJson, plain_copy
from .._protect import ProtectOptions, _Protected
from .._verdict import Verdict

Client: TypeAlias = "Authorizer | AsyncAuthorizer"
"""Either serves synchronous and asynchronous runs, but for a token source that is a coroutine function."""

SELF_TEST_TOOL = "datacrawl_self_test"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call as the framework is about to make it."""

    tool: str
    """The framework's name of the tool."""
    arguments: dict[str, Any]
    """A copy of the arguments that the tool will get."""
    call_id: str
    """The framework's id of this tool call."""
    run_id: str
    """What the call id is unique in: a run, or one answer of the model. The same if the call is made again."""
    session_id: str | None = None
    """The conversation, if the framework knows one."""
    context: Any = None
    """The framework's own object, such as LangChain's ToolCallRequest."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a tool did not run."""

    tool: str
    reason: str
    """
    A verdict's reason; REVIEW_PENDING if nobody has decided in time; ALREADY_STARTED; the reason for which a start was refused; or
    ADAPTER_ERROR, if the call could not be read.
    """
    message: str
    """A sentence for people. After a policy's deny it has the rule's description."""
    decision_id: str
    """Empty if nothing was asked."""
    verdict: Verdict | None = None
    """None if nothing was asked."""


class ToolGuardOptions(TypedDict, total=False):
    """The options of every adapter. A function that raises refuses the call."""

    tool: Callable[[ToolCall], str]
    """The tool to ask about, such as gmail.send_email. Default: the framework's name"""
    key: Callable[[ToolCall], str]
    """The idempotency key: what has the same key is one action. Default: `run_id` and `call_id`"""
    payload: Callable[[ToolCall], dict[str, Any]]
    """What to ask about. Default: the arguments"""
    principal: Callable[[ToolCall], str | None] | str | None
    """On whose behalf the agent acts. Default: nobody is named"""
    session_id: Callable[[ToolCall], str | None] | str | None
    """The run or conversation. Default: the framework's, if it knows one"""
    timeout: float | None
    """Seconds that the verdict, the start and the report may take each. Default: the client's"""
    review_timeout: float
    """Seconds to wait for people after needs_review, at most seven days; 0 does not wait. Default: 60"""
    once: bool
    """False: without start and report. A call that the framework makes again then runs again. Default: True"""
    explain: Callable[[Refusal], str]
    """The text for the model. Default: why, with the decision's id, and what to do"""


class SelfTestError(Exception):
    """The self-test did not prove that a denied tool does not run."""


@dataclass(slots=True)
class _Settings:
    tool: Callable[[ToolCall], str] = lambda call: call.tool
    key: Callable[[ToolCall], str] | None = None
    payload: Callable[[ToolCall], dict[str, Any]] | None = None
    principal: Callable[[ToolCall], str | None] | str | None = None
    session_id: Callable[[ToolCall], str | None] | str | None = lambda call: call.session_id
    timeout: float | None = None
    review_timeout: float = DEFAULT_WAIT
    once: bool = True
    explain: Callable[[Refusal], str] | None = None


class _Failed(Exception):
    """Carries a result by which the framework says that the tool failed, past the report."""

    code = "TOOL_ERROR"

    def __init__(self, result: Any) -> None:
        super().__init__("the tool failed")
        self.result = result


class _Unreadable(Exception):
    """A call that cannot be asked about. The message is a sentence."""


@dataclass(slots=True)
class _Attempt:
    """One call while it is judged."""

    call: ToolCall | None = None
    entered: bool = False
    """The tool is being run: what is raised from here on is the tool's."""


@dataclass(slots=True)
class SelfTest:
    """Sees what becomes of a tool that is denied, and whose function must not be called."""

    tool: str
    call_id: str = field(default_factory=lambda: f"self-test-{uuid.uuid4()}")
    refusals: list[Refusal] = field(default_factory=list)
    ran: bool = False

    def run(self) -> str:
        """The tool's function."""
        self.ran = True
        return "The tool of the self-test ran."

    def check(self) -> None:
        if self.ran:
            raise SelfTestError(
                f"{self.tool} ran: a policy allows it, or the guard is not asked before tools run. Name a tool that is "
                "denied, and see the adapter's page for the guard's place"
            )
        if not self.refusals:
            raise SelfTestError(f"the guard was not asked about {self.tool}: see the adapter's page for its place")
        refusal = self.refusals[-1]
        if refusal.verdict is None or refusal.verdict.source != "service" or refusal.verdict.decision != "deny":
            raise SelfTestError(
                f"{self.tool} did not run, but not because a policy denies it ({refusal.reason}): {refusal.message}"
            )


class Judge:
    """
    Runs tools for an adapter.

    :param failed: whether a tool's result is a failure, for a framework that turns errors into results
    :param to_json: for a framework whose tools get objects: what to ask about them. The tool gets a deep copy of the same objects
    """

    def __init__(
        self,
        client: Client,
        options: ToolGuardOptions,
        *,
        failed: Callable[[Any], bool] = lambda result: False,
        to_json: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        if not isinstance(client, _Calls):
            raise TypeError(f"the client must be a DataCrawl or an AsyncDataCrawl, is a {type(client).__name__}")
        self._client = client
        self._settings = _Settings(**options)
        self._failed = failed
        self._to_json = to_json
        self._tests: list[SelfTest] = []

    @property
    def logger(self) -> logging.Logger:
        return self._client._logger

    def run(self, read: Callable[[], ToolCall], execute: Callable[[dict[str, Any]], Any]) -> Any:
        """
        The tool's result, or a Refusal if the tool did not run. What the tool raises is raised.

        :param read: reads the call from the framework's objects
        :param execute: runs the tool with the arguments that were judged
        """
        attempt = _Attempt()
        try:
            call = self._copied(read())
            attempt.call = call

            def tool() -> Any:
                attempt.entered = True
                return self._unless_failed(execute(call.arguments))

            return self._protected(call, tool).call((), {})
        except _Failed as failed:
            return failed.result
        except Exception as error:
            if attempt.entered:
                raise
            return self._refusal(attempt.call, error)

    async def run_async(self, read: Callable[[], ToolCall], execute: Callable[[dict[str, Any]], Awaitable[Any]]) -> Any:
        """As `run`, in asyncio. A cancellation is raised, whether or not the tool was running."""
        attempt = _Attempt()
        try:
            call = self._copied(read())
            attempt.call = call

            async def tool() -> Any:
                attempt.entered = True
                return self._unless_failed(await execute(call.arguments))

            return await self._protected(call, tool).call_async((), {}, True)
        except _Failed as failed:
            return failed.result
        except Exception as error:
            if attempt.entered:
                raise
            return self._refusal(attempt.call, error)

    @contextlib.contextmanager
    def self_test(self, tool: str) -> Iterator[SelfTest]:
        """In it the adapter lets its framework call `tool`. Raises SelfTestError unless the call was asked about and denied."""
        test = SelfTest(tool)
        self._tests.append(test)
        try:
            yield test
        finally:
            self._tests.remove(test)
        test.check()

    def text(self, refusal: Refusal) -> str:
        """What the model reads."""
        try:
            if self._settings.explain is not None:
                return self._settings.explain(refusal)
        except Exception:
            self.logger.exception("the option explain raised an error")
        why = f"{refusal.reason}, decision {refusal.decision_id}" if refusal.decision_id else refusal.reason
        return f"{refusal.tool or 'The tool'} did not run ({why}). {refusal.message} {_advice(refusal)}"

    def _copied(self, call: ToolCall) -> ToolCall:
        """The call with a copy of the arguments, which only this module has: nobody changes them after they were judged."""
        if self._to_json is None:
            try:
                return replace(call, arguments=plain_copy(call.arguments, "arguments"))
            except NotJson:
                if self._settings.payload is None:
                    raise
        return replace(call, arguments=copy.deepcopy(call.arguments))

    def _protected(self, call: ToolCall, tool: Callable[[], Any]) -> _Protected:
        """`protect`, for this one call."""
        settings = self._settings_of(call)
        # The functions see a copy of their own: what they change, the tool does not get.
        seen = replace(call, arguments=copy.deepcopy(call.arguments))
        name, key = settings.tool(seen), _key(seen, settings)
        if settings.payload is not None:
            payload = settings.payload(seen)
        else:
            payload = seen.arguments if self._to_json is None else self._to_json(seen.arguments)
        principal, session_id = _of(seen, settings.principal), _of(seen, settings.session_id)
        options = ProtectOptions(
            key=lambda: key,
            payload=lambda: payload,
            principal=principal,
            session_id=session_id,
            timeout=settings.timeout,
            on_review="wait" if settings.review_timeout > 0 else "deny",
            review_timeout=settings.review_timeout,
            once=settings.once,
            on_already_started="raise",
        )
        return _Protected(self._client, name, options, tool)

    def _settings_of(self, call: ToolCall) -> _Settings:
        """A self-test's call has its own name, and waits for nobody: functions that name an application's tools do not know it."""
        if any(call.tool == test.tool and not call.arguments for test in self._tests):
            return _Settings(timeout=self._settings.timeout, once=self._settings.once, review_timeout=0)
        return self._settings

    def _unless_failed(self, result: Any) -> Any:
        if self._failed(result):
            raise _Failed(result)
        return result

    def _refusal(self, call: ToolCall | None, error: Exception) -> Refusal:
        """INVARIANT: every path on which the tool was not entered ends here."""
        refusal = _read_error(call.tool if call is not None else "", error)
        if refusal.reason == "ADAPTER_ERROR" and not isinstance(error, (_Unreadable, NotJson)):
            self.logger.error("a tool call could not be read and is refused", exc_info=error)
        for test in self._tests:
            if call is None or call.tool == test.tool:
                test.refusals.append(refusal)
        return refusal


def _key(call: ToolCall, settings: _Settings) -> str:
    if settings.key is None:
        if not call.run_id or not call.call_id:
            raise _Unreadable("The framework gave no id of the run, or of the tool call: the option key is needed.")
        return f"{call.run_id}/{call.call_id}"
    key = settings.key(call)
    # None would be a derived key, by which equal calls are one action.
    if not isinstance(key, str):
        raise _Unreadable(f"The option key returned a {type(key).__name__}, not a str.")
    return key


def _of(call: ToolCall, given: Callable[[ToolCall], str | None] | str | None) -> str | None:
    return given(call) if callable(given) else given


def _read_error(tool: str, error: Exception) -> Refusal:
    if isinstance(error, DeniedError):
        verdict = error.verdict
        return Refusal(verdict.tool or tool, verdict.reason, verdict.message, verdict.decision_id, verdict)
    if isinstance(error, NotStartedError):
        return Refusal(tool, error.start.reason, error.start.message, error.verdict.decision_id, error.verdict)
    if isinstance(error, AlreadyStartedError):
        ended = error.execution.outcome
        how = f"It has {ended}." if ended in ("succeeded", "failed") else "Nobody knows yet how it ended."
        message = f"This call was started before, and runs once. {how}"
        return Refusal(tool, "ALREADY_STARTED", message, error.verdict.decision_id, error.verdict)
    message = str(error) if isinstance(error, _Unreadable) else f"{error}." if isinstance(error, NotJson) else ""
    return Refusal(tool, "ADAPTER_ERROR", message or "The call could not be read.", "")


_LATER = frozenset({"SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED", "MALFORMED_RESPONSE", "CIRCUIT_OPEN"})


def _advice(refusal: Refusal) -> str:
    """What the model can do."""
    if refusal.reason == "REVIEW_PENDING":
        return "Nobody has approved it in time. Do not call it again; say that the decision waits for a person."
    if refusal.reason in _LATER:
        return "It may be tried again later."
    if refusal.reason == "ALREADY_STARTED":
        return "Do not call it again for the same purpose."
    return "Do not call it again with the same arguments."

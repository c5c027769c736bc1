"""A function that runs only if it is allowed, and once."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from ._errors import AlreadyStartedError, DeniedError, NotStartedError
from ._execution import Execution, Recorded
from ._io import ASYNCIO, BLOCKING, Io, finish, run
from ._json import NotJson, plain_copy

if TYPE_CHECKING:
    from ._calls import _Calls

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ProtectOptions:
    """As given to `protect`, whose documentation they have."""

    key: Callable[..., str] | None
    payload: Callable[..., dict[str, Any]] | None
    principal: str | Callable[..., str | None] | None
    session_id: str | Callable[..., str | None] | None
    timeout: float | None
    on_review: Literal["deny", "wait"]
    review_timeout: float
    once: bool
    on_already_started: Literal["raise", "run"]


@dataclass(frozen=True, slots=True)
class _Call:
    """The function with the arguments that were asked about."""

    function: Callable[..., Any]
    bound: inspect.BoundArguments

    def __call__(self) -> Any:
        return self.function(*self.bound.args, **self.bound.kwargs)

    def of(self, given: Any) -> Any:
        """An option that may be a function of the arguments: by name if its parameters are some of them, else in their order."""
        if not callable(given):
            return given
        arguments = self.bound.arguments
        parameters = inspect.signature(given).parameters.values()
        by_name = {one.name: arguments[one.name] for one in parameters if one.name in arguments and one.kind in _NAMED}
        if any(one.kind is one.VAR_KEYWORD for one in parameters):
            # `**rest` takes the arguments that no other parameter names.
            by_name = dict(arguments)
        if all(
            one.name in by_name or one.default is not one.empty or one.kind is one.VAR_KEYWORD for one in parameters
        ):
            return given(**by_name)
        return given(*self.bound.args, **self.bound.kwargs)


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def protect(ports: _Calls, tool: str, options: ProtectOptions, function: F, *, asynchronous: bool) -> F:
    """
    :param asynchronous: a plain function becomes a coroutine function, too. A coroutine function always stays one.
    """
    _check(options)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{function.__qualname__} is a generator, which runs only when its caller iterates: protect the function that consumes it"
        )
    is_coroutine = inspect.iscoroutinefunction(function)
    protected = _Protected(ports, tool, options, function)

    @functools.wraps(function)
    async def wait(*args: Any, **kwargs: Any) -> Any:
        return await protected.call_async(args, kwargs, is_coroutine)

    @functools.wraps(function)
    def block(*args: Any, **kwargs: Any) -> Any:
        return protected.call(args, kwargs)

    return cast(F, wait if asynchronous or is_coroutine else block)


class _Protected:
    def __init__(self, ports: _Calls, tool: str, options: ProtectOptions, function: Callable[..., Any]) -> None:
        self._ports = ports
        self._tool = tool
        self._options = options
        self._function = function
        self._signature = inspect.signature(function)

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        action, execution = run(self._prepare(BLOCKING, args, kwargs))
        if execution is None:
            return action()
        started = time.monotonic()
        try:
            result = action()
        except BaseException as error:
            run(self._report(BLOCKING, execution, started, error))
            raise
        run(self._report(BLOCKING, execution, started, None))
        return result

    async def call_async(self, args: tuple[Any, ...], kwargs: dict[str, Any], is_coroutine: bool) -> Any:
        action, execution = await self._prepare(ASYNCIO, args, kwargs)
        started = time.monotonic()
        try:
            result = action()
            if is_coroutine:
                result = await result
        except BaseException as error:
            if execution is not None:
                await finish(self._report(ASYNCIO, execution, started, error))
            raise
        if execution is not None:
            await finish(self._report(ASYNCIO, execution, started, None))
        return result

    async def _prepare(self, io: Io, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[_Call, Execution | None]:
        """Asks and starts. Returns what to run, and the execution to report."""
        options = self._options
        payload, call, is_json = self._read(args, kwargs)
        verdict = await self._ports._ask(
            io,
            tool=self._tool,
            payload=payload,
            # What is not JSON is asked about as it is, and refused with the reason.
            idempotency_key=call.of(options.key) if is_json else None,
            principal=call.of(options.principal),
            session_id=call.of(options.session_id),
            timeout=options.timeout,
        )
        if verdict.decision == "needs_review" and options.on_review == "wait":
            verdict = await self._ports._wait(io, verdict.decision_id, options.review_timeout)
        if not is_json or not verdict.allowed:
            raise DeniedError(verdict)
        if not options.once:
            return call, None
        start = await self._ports._start(io, verdict, options.timeout)
        if start.state == "refused":
            raise NotStartedError(verdict, start)
        # INVARIANT: an equality with started; whatever else a start may be does not run.
        if start.state == "started":
            return call, start
        if options.on_already_started == "run":
            return call, None
        raise AlreadyStartedError(verdict, start)

    def _read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, _Call, bool]:
        """
        The payload, the call, and whether the payload is JSON. The call has a copy of the arguments: the function gets the values that
        were allowed, also if the caller changes its objects meanwhile. With a `payload` of its own the arguments stay as they are.
        """
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        call = _Call(self._function, bound)
        own = self._options.payload is not None
        payload = call.of(self._options.payload) if own else dict(bound.arguments)
        try:
            copy = plain_copy(payload)
        except NotJson:
            return payload, call, False
        if not own:
            for name, value in copy.items():
                # The signature wants a tuple for *args.
                is_tuple = isinstance(bound.arguments[name], tuple) and isinstance(value, list)
                bound.arguments[name] = tuple(value) if is_tuple else value  # type: ignore[arg-type]
        return copy, call, True

    async def _report(self, io: Io, execution: Execution, started: float, error: BaseException | None) -> None:
        """Changes nothing of what the function returns or raises."""
        outcome = "succeeded" if error is None else "unknown" if _is_broken_off(error) else "failed"
        duration, code = time.monotonic() - started, _error_code(error)
        try:
            reported = await self._ports._end(
                io, execution, outcome, error_code=code, duration=duration, timeout=self._options.timeout
            )
            if not isinstance(reported, Recorded):
                self._ports._logger.warning(
                    "the outcome %r of the execution of decision %s was not recorded (%s): %s",
                    outcome,
                    execution.decision_id,
                    reported.reason,
                    reported.message,
                )
        except Exception:
            # A logger that raises changes nothing either.
            pass


def _is_broken_off(error: BaseException) -> bool:
    """So that nobody knows how far the action came."""
    return isinstance(error, (asyncio.CancelledError, TimeoutError)) or not isinstance(error, Exception)


def _error_code(error: BaseException | None) -> str:
    """The error's code or class: its message may hold what must not be recorded."""
    if error is None:
        return ""
    try:
        code = getattr(error, "code", None)
    except Exception:
        code = None
    found = code if isinstance(code, str) and code else type(error).__name__
    return found[:128] if found.isascii() and found.isprintable() and " " not in found else ""


def _check(options: ProtectOptions) -> None:
    if options.on_review not in ("deny", "wait"):
        raise TypeError(f'on_review must be "deny" or "wait", is {options.on_review!r}')
    if options.on_already_started not in ("raise", "run"):
        raise TypeError(f'on_already_started must be "raise" or "run", is {options.on_already_started!r}')
    if options.once not in (True, False):
        raise TypeError(f"once must be True or False, is {options.once!r}")

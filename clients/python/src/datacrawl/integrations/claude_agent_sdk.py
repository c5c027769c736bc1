"""
Claude Agent SDK: hooks that ask before Claude Code runs a tool.

    from claude_agent_sdk import ClaudeAgentOptions, query
    from datacrawl import DataCrawl
    from datacrawl.integrations.claude_agent_sdk import ToolGuard

    async with ToolGuard(DataCrawl()) as guard:
        options = ClaudeAgentOptions(hooks=guard.hooks())
        await guard.self_test(options)
        async for message in query(prompt="Invite Ann.", options=options): ...

The tools run in Claude Code, another process, so a hook is all there is: `PreToolUse` judges and starts, `PostToolUse` and
`PostToolUseFailure` report. The matcher has `on_failure="block"`, without which a hook that raises, or returns what is not valid, lets
the tool run; the SDK refuses to connect to a Claude Code that does not know it. `can_use_tool` is no place for a guard: Claude Code
does not call it for what `allowed_tools`, a permission mode or the settings allow.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from claude_agent_sdk import ClaudeAgentOptions, HookMatcher

from ._judge import SELF_TEST_TOOL, Client, Judge, Refusal, SelfTestError, ToolCall

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._judge import ToolGuardOptions

_MARGIN = 30.0
_LONGEST_CALL = 600.0
"""Seconds, as the clients bound them."""


class ToolError(Exception):
    """Claude Code says that a tool failed."""

    code = "TOOL_ERROR"


class InputChanged(Exception):
    """Another hook has changed the input after it was judged."""

    code = "INPUT_CHANGED"


@dataclass(slots=True)
class _Running:
    """A call that Claude Code may run: its judgement waits in a task for how it ends."""

    session_id: str
    arguments: dict[str, Any]
    judged: asyncio.Task[Any]
    ended: asyncio.Future[None]


class ToolGuard:
    """
    Guards all tools of Claude Code: its own, those of MCP servers, and those of subagents.

    The default key names the session and the tool use. An allowed call goes on to Claude Code's own permissions, with the arguments that
    were judged: the guard never grants what they would ask for or deny. Leave the guard's context when the session ends, so that calls
    which were broken off are reported as unknown.

    :param client: a DataCrawl or an AsyncDataCrawl
    :param options: see `ToolGuardOptions`
    """

    def __init__(self, client: Client, **options: Unpack[ToolGuardOptions]) -> None:
        self._judge = Judge(client, options)
        review, call = options.get("review_timeout", 60.0), options.get("timeout") or _LONGEST_CALL
        # Longer than the guard itself takes: it is never Claude Code that ends the wait.
        self._matcher = HookMatcher(hooks=[self._before], timeout=review + 2 * call + _MARGIN, on_failure="block")
        self._after = HookMatcher(hooks=[self._end], timeout=call + _MARGIN)
        self._stop = HookMatcher(hooks=[self._stopped], timeout=call + _MARGIN)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._running: dict[tuple[str, str], _Running] = {}

    def hooks(self, others: dict[Any, list[HookMatcher]] | None = None) -> dict[Any, list[HookMatcher]]:
        """For `ClaudeAgentOptions.hooks`, with `others` before them. Another hook must not change a tool's input: see `self_test`."""
        hooks = {event: list(matchers) for event, matchers in (others or {}).items()}
        hooks.setdefault("PreToolUse", []).append(self._matcher)
        for event in ("PostToolUse", "PostToolUseFailure"):
            hooks.setdefault(event, []).append(self._after)
        hooks.setdefault("Stop", []).append(self._stop)
        return hooks

    async def self_test(self, options: ClaudeAgentOptions, tool: str = SELF_TEST_TOOL) -> None:
        """
        Proves that the hook of these options blocks a denied tool. It does not start Claude Code.

        :param tool: a tool that the policies deny
        :raises SelfTestError: if the options lack the guard's hooks, if another hook of theirs could change what was judged, if the hook
            did not deny, or if the service could not be asked
        """
        hooks = options.hooks or {}
        for event, mine in (
            ("PreToolUse", self._matcher),
            ("PostToolUse", self._after),
            ("PostToolUseFailure", self._after),
            ("Stop", self._stop),
        ):
            if not any(matcher is mine for matcher in hooks.get(event, [])):  # type: ignore[call-overload]
                raise SelfTestError(
                    f"the options have no {event} hook of the guard: use ClaudeAgentOptions(hooks=guard.hooks())"
                )
        if len(hooks["PreToolUse"]) > 1:
            raise SelfTestError(
                "the options have another PreToolUse hook: hooks run in parallel, and it could change the input after it was judged"
            )
        with self._judge.self_test(tool) as test:
            given = {"session_id": "self-test", "tool_name": tool, "tool_input": {}, "tool_use_id": test.call_id}
            answer = await self._before(given, test.call_id, {})
            if answer["hookSpecificOutput"].get("permissionDecision") != "deny":
                test.run()
                await self._end({**given, "hook_event_name": "PostToolUse"}, test.call_id, {})

    async def __aenter__(self) -> ToolGuard:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Reports as unknown what has not ended."""
        await _cancel(list(self._tasks))

    async def _before(self, given: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        """PreToolUse."""
        loop = asyncio.get_running_loop()
        started: asyncio.Future[dict[str, Any]] = loop.create_future()
        ended: asyncio.Future[None] = loop.create_future()

        async def execute(arguments: dict[str, Any]) -> None:
            started.set_result(arguments)
            await ended

        judged = loop.create_task(self._judge.run_async(lambda: _read(given), execute))
        self._tasks.add(judged)
        judged.add_done_callback(self._tasks.discard)
        try:
            await asyncio.wait({judged, started}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _cancel([judged])
            raise
        output: dict[str, Any] = {"hookEventName": "PreToolUse"}
        if started.done():
            arguments = started.result()
            running = _Running(given["session_id"], arguments, judged, ended)
            self._running[given["session_id"], given["tool_use_id"]] = running
            # Without a decision: Claude Code's permissions still hold.
            output["updatedInput"] = arguments
        else:
            result = judged.result()
            text = self._judge.text(result) if isinstance(result, Refusal) else "The call was not judged."
            output |= {"permissionDecision": "deny", "permissionDecisionReason": text}
        return {"hookSpecificOutput": output}

    async def _end(self, given: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        """PostToolUse, PostToolUseFailure."""
        running = self._running.pop((given["session_id"], given["tool_use_id"]), None)
        if running is None:
            return {}
        if given["hook_event_name"] == "PostToolUse" and given["tool_input"] == running.arguments:
            running.ended.set_result(None)
        elif given["hook_event_name"] == "PostToolUse":
            self._judge.logger.error("another hook has changed the input of %s after it was judged", given["tool_name"])
            running.ended.set_exception(InputChanged())
        elif given.get("is_interrupt"):
            running.judged.cancel()
        else:
            running.ended.set_exception(ToolError())
        await asyncio.wait({running.judged})
        _read_result(running.judged)
        return {}

    async def _stopped(self, given: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        """Stop: what has not ended by now was denied by Claude Code's permissions, or broken off."""
        left = [key for key, running in self._running.items() if running.session_id == given["session_id"]]
        await _cancel([self._running.pop(key).judged for key in left])
        return {}


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        _read_result(task)


def _read_result(task: asyncio.Task[Any]) -> None:
    """An error that nobody reads would be logged by asyncio."""
    if not task.cancelled():
        task.exception()


def _read(given: Any) -> ToolCall:
    return ToolCall(
        tool=given["tool_name"],
        arguments=given["tool_input"],
        call_id=given["tool_use_id"],
        run_id=given["session_id"],
        session_id=given["session_id"],
        context=given,
    )

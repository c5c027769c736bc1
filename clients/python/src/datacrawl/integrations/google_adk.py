"""
Google's Agent Development Kit: tools that ask before they run.

    from datacrawl import DataCrawl
    from datacrawl.integrations.google_adk import ToolGuard
    from google.adk.agents import LlmAgent

    guard = ToolGuard(DataCrawl())
    agent = LlmAgent(name="assistant", model=model, tools=guard.tools([send_email]))

The adapter wraps what a tool does, not `before_tool_callback`. Callbacks of a plugin come first, so that those of the agent may change the
arguments after they were judged; a callback cannot run the tool with a copy; and how the tool ended would be another callback's knowledge.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from google.adk.agents import BaseAgent, LlmAgent
from google.adk.agents.readonly_context import ReadonlyContext
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.base_toolset import BaseToolset
from google.adk.tools.function_tool import FunctionTool
from google.genai import types

from ._judge import SELF_TEST_TOOL, Client, Judge, Refusal, SelfTest, SelfTestError, ToolCall

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._judge import ToolGuardOptions


class ToolGuard:
    """
    Wraps functions, tools (those of other agents and of APIs included) and toolsets.

    The default key names the invocation and the function call.

    :param client: a DataCrawl or an AsyncDataCrawl
    :param options: see `ToolGuardOptions`
    """

    def __init__(self, client: Client, **options: Unpack[ToolGuardOptions]) -> None:
        self._judge = Judge(client, options, failed=_failed)
        self._guarded: list[Any] = []

    def tools(self, tools: Iterable[Any], *, unguarded: Iterable[str] = ()) -> list[Any]:
        """
        The same tools, guarded. Functions become tools.

        :param unguarded: names of tools that the model's provider runs, such as google_search
        :raises TypeError: if a tool cannot be guarded and is not named
        """
        names = set(unguarded)
        return [self._guard(tool, names) for tool in tools]

    async def self_test(self, agent: BaseAgent, tool: str = SELF_TEST_TOOL, *, unguarded: Iterable[str] = ()) -> None:
        """
        Proves that a denied tool does not run, by an agent with a scripted model, and looks for tools that are not guarded: of `agent`,
        of its sub-agents, and of agents that are tools.

        :param tool: a tool that the policies deny
        :param unguarded: names of tools that run without the guard; `code_executor`, if code that the model writes does
        :raises SelfTestError: if the tool ran, if the guard was not asked, if the service could not be asked, or if a tool is not guarded
        """
        self._check(agent, set(unguarded), set())
        with self._judge.self_test(tool) as test:
            canary = LlmAgent(name="self_test", model=_Script(test), tools=self.tools([_tool(test)]))
            runner = InMemoryRunner(canary, app_name="self_test")
            message = types.Content(role="user", parts=[types.Part(text="self-test")])
            session = await runner.session_service.create_session(app_name="self_test", user_id="self-test")
            async for _ in runner.run_async(user_id="self-test", session_id=session.id, new_message=message):
                pass

    def _guard(self, tool: Any, unguarded: set[str]) -> Any:
        if isinstance(tool, BaseToolset):
            guarded: Any = _Toolset(tool, lambda one: self._guard_tool(one, unguarded))
        elif isinstance(tool, BaseTool):
            guarded = self._guard_tool(tool, unguarded)
        elif callable(tool):
            guarded = self._guard_tool(FunctionTool(tool), unguarded)
        else:
            raise TypeError(f"a {type(tool).__name__} cannot be guarded")
        self._guarded.append(guarded)
        return guarded

    def _guard_tool(self, tool: BaseTool, unguarded: set[str]) -> BaseTool:
        if tool.name in unguarded:
            return tool
        if tool._get_declaration() is None:
            raise TypeError(
                f"{tool.name!r} has no function: the model's provider runs it. Leave it out, or name it in unguarded"
            )
        function = getattr(tool, "func", None)
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(f"{tool.name!r} is a generator, which live runs call directly, past the guard")
        guarded = copy.copy(tool)

        async def run_async(*, args: dict[str, Any], tool_context: Any) -> Any:
            async def execute(arguments: dict[str, Any]) -> Any:
                return await tool.run_async(args=arguments, tool_context=tool_context)

            result = await self._judge.run_async(lambda: _read(tool, args, tool_context), execute)
            # ADK has taken an empty answer for none.
            return {"error": self._judge.text(result)} if isinstance(result, Refusal) else result

        guarded.run_async = run_async  # type: ignore[method-assign]
        return guarded

    def _check(self, agent: Any, unguarded: set[str], seen: set[int]) -> None:
        if not isinstance(agent, BaseAgent) or id(agent) in seen:
            return
        seen.add(id(agent))
        for tool in getattr(agent, "tools", []):
            name = getattr(tool, "name", None) or getattr(tool, "__name__", type(tool).__name__)
            if not any(tool is guarded for guarded in self._guarded) and name not in unguarded:
                raise SelfTestError(f"{name} of the agent {agent.name} is not guarded: pass the tools through tools()")
            self._check(getattr(tool, "agent", None), unguarded, seen)
        if getattr(agent, "code_executor", None) is not None and "code_executor" not in unguarded:
            raise SelfTestError(
                f"the agent {agent.name} runs code that its model writes, which the guard does not see: leave its code_executor out, "
                "or name code_executor in unguarded"
            )
        for other in agent.sub_agents:
            self._check(other, unguarded, seen)


class _Toolset(BaseToolset):
    """Another toolset, whose tools are guarded each time they are listed."""

    def __init__(self, wrapped: BaseToolset, guard: Callable[[BaseTool], BaseTool]) -> None:
        super().__init__()
        self._wrapped = wrapped
        self._guard = guard
        # The wrapped toolset keeps its tools for an invocation, or not, as those of skills.
        self._use_invocation_cache = False

    async def get_tools(self, readonly_context: ReadonlyContext | None = None) -> list[BaseTool]:
        return [self._guard(tool) for tool in await self._wrapped.get_tools_with_prefix(readonly_context)]

    async def process_llm_request(self, *, tool_context: Any, llm_request: Any) -> None:
        before = dict(llm_request.tools_dict)
        await self._wrapped.process_llm_request(tool_context=tool_context, llm_request=llm_request)
        # A toolset may add tools here, past get_tools: that of computer use does.
        for name, tool in llm_request.tools_dict.items():
            if before.get(name) is not tool:
                llm_request.tools_dict[name] = self._guard(tool)

    def get_auth_config(self) -> Any:
        return self._wrapped.get_auth_config()

    async def close(self) -> None:
        await self._wrapped.close()


def _read(tool: BaseTool, arguments: dict[str, Any], context: Any) -> ToolCall:
    return ToolCall(
        tool=tool.name,
        arguments=arguments,
        call_id=context.function_call_id or "",
        run_id=context.invocation_id or "",
        session_id=context.session.id,
        context=context,
    )


def _failed(result: Any) -> bool:
    """FunctionTool answers so for arguments that it cannot take."""
    return isinstance(result, dict) and bool(result.get("error"))


def _tool(test: SelfTest) -> FunctionTool:
    def canary() -> str:
        """Must not run."""
        return test.run()

    tool = FunctionTool(canary)
    tool.name = test.tool
    declaration = tool._get_declaration

    def named() -> Any:
        found = declaration()
        return found.model_copy(update={"name": test.tool}) if found is not None else None

    tool._get_declaration = named  # type: ignore[method-assign]
    return tool


class _Script(BaseLlm):
    """A model that calls the tool of a self-test, and then ends."""

    def __init__(self, test: SelfTest) -> None:
        super().__init__(model="self-test")
        self._test = test

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
        parts = [part for content in llm_request.contents for part in content.parts or []]
        if any(part.function_response for part in parts):
            part = types.Part(text="done")
        else:
            call = types.FunctionCall(id=self._test.call_id, name=self._test.tool, args={})
            part = types.Part(function_call=call)
        yield LlmResponse(content=types.Content(role="model", parts=[part]))

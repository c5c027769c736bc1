"""
OpenAI Agents SDK: function tools that ask before they run.

    from agents import Agent, Runner
    from datacrawl import DataCrawl
    from datacrawl.integrations.openai_agents import ToolGuard

    guard = ToolGuard(DataCrawl())
    agent = Agent(name="assistant", tools=guard.tools([send_email]))

The adapter wraps what the tool does, not its input guardrails. A guardrail that returns no behavior allows (the default of
`ToolGuardrailFunctionOutput`), as one of an unknown type does; it cannot pass the arguments that were judged; and `needs_approval` is the
application's own approval. All of them are asked before the wrapped tool is.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agents import Agent, AgentBase, FunctionTool, ModelResponse, RunConfig, Runner, Usage
from agents.models.interface import Model
from agents.tool import set_function_tool_failure_error_function, with_function_tool_failure_error_handler
from agents.tool_context import ToolContext
from agents.tracing import get_current_trace
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from ._judge import SELF_TEST_TOOL, Client, Judge, Refusal, SelfTest, SelfTestError, ToolCall

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._judge import ToolGuardOptions


class ToolGuard:
    """
    Wraps function tools, also those of `agent.as_tool()`.

    The default key names the group or the trace of the run (`RunConfig.group_id`, `trace_id`) and the tool call. Without tracing, and
    without a group, the run is this guard: then give each run a guard, or the option `key`.

    :param client: a DataCrawl or an AsyncDataCrawl
    :param options: see `ToolGuardOptions`
    """

    def __init__(self, client: Client, **options: Unpack[ToolGuardOptions]) -> None:
        self._judge = Judge(client, options)
        self._id = str(uuid.uuid4())
        self._guarded: list[FunctionTool] = []

    def tools(self, tools: Iterable[Any], *, unguarded: Iterable[str] = ()) -> list[Any]:
        """
        The same tools, guarded.

        :param unguarded: names of tools that are not the agent's own functions, and run without the guard
        :raises TypeError: if a tool cannot be guarded and is not named: the provider runs it (web search, hosted MCP), or the SDK
            itself (shell, computer)
        """
        names = set(unguarded)
        return [self._guard(tool, names) for tool in tools]

    async def self_test(
        self, agent: AgentBase[Any], tool: str = SELF_TEST_TOOL, *, unguarded: Iterable[str] = ()
    ) -> None:
        """
        Proves that a denied tool does not run, by an agent with a scripted model, and looks for tools that are not guarded: of `agent`,
        of the agents that it hands over to, and of agents that are tools.

        :param tool: a tool that the policies deny
        :param unguarded: names of tools that run without the guard; `capabilities`, if those of a sandbox do
        :raises SelfTestError: if the tool ran, if the guard was not asked, if the service could not be asked, or if a tool is not guarded
        """
        self._check(agent, set(unguarded), set())
        with self._judge.self_test(tool) as test:
            canary = Agent(name="self-test", model=_Script(test), tools=self.tools([_tool(test)]))
            await Runner.run(canary, "self-test", run_config=RunConfig(tracing_disabled=True))

    def _guard(self, tool: Any, unguarded: set[str]) -> Any:
        if not isinstance(tool, FunctionTool):
            if getattr(tool, "name", "") in unguarded:
                return tool
            raise TypeError(
                f"{getattr(tool, 'name', tool)!r} is a {type(tool).__name__}, which cannot be guarded: leave it out, or name it in "
                "unguarded"
            )
        # This one raises where `tool` answers with its error's text: a tool that failed is reported so.
        raising = set_function_tool_failure_error_function(dataclasses.replace(tool), None)

        async def invoke(context: ToolContext[Any], text: str) -> Any:
            async def execute(arguments: dict[str, Any]) -> Any:
                return await raising.on_invoke_tool(context, json.dumps(arguments))

            result = await self._judge.run_async(lambda: self._read(tool, context, text), execute)
            return self._judge.text(result) if isinstance(result, Refusal) else result

        handled = with_function_tool_failure_error_handler(invoke, lambda tool, error, text: None)
        guarded = dataclasses.replace(tool, on_invoke_tool=handled)
        self._guarded.append(guarded)
        return guarded

    def _read(self, tool: FunctionTool, context: ToolContext[Any], text: str) -> ToolCall:
        config, trace = context.run_config, get_current_trace()
        group = config.group_id if config is not None else None
        # A trace that is switched off has no id of its own.
        traced = trace.trace_id if trace is not None and trace.trace_id != "no-op" else None
        return ToolCall(
            tool=tool.qualified_name,
            arguments=json.loads(text or "{}"),
            call_id=context.tool_call_id,
            run_id=group or traced or self._id,
            session_id=group or traced,
            context=context,
        )

    def _check(self, agent: Any, unguarded: set[str], seen: set[int]) -> None:
        # Those of realtime sessions included.
        if not isinstance(agent, AgentBase) or id(agent) in seen:
            return
        seen.add(id(agent))
        for tool in agent.tools:
            if not any(tool is guarded for guarded in self._guarded) and tool.name not in unguarded:
                raise SelfTestError(
                    f"{tool.name} of the agent {agent.name} is not guarded: pass the tools through tools()"
                )
            self._check(getattr(tool, "_agent_instance", None), unguarded, seen)
        if agent.mcp_servers:
            raise SelfTestError(
                f"the tools of the MCP servers of the agent {agent.name} are not guarded: ask in front of the server"
            )
        if getattr(agent, "capabilities", None) and "capabilities" not in unguarded:
            raise SelfTestError(
                f"the tools that the sandbox of the agent {agent.name} adds (shell, files) are not guarded: "
                "give it no capabilities, or name capabilities in unguarded"
            )
        for handoff in getattr(agent, "handoffs", []):
            self._check(self._target(handoff, unguarded), unguarded, seen)

    def _target(self, handoff: Any, unguarded: set[str]) -> Any:
        if isinstance(handoff, AgentBase):
            return handoff
        reference = getattr(handoff, "_agent_ref", None)
        target = reference() if reference is not None else None
        name = getattr(handoff, "tool_name", type(handoff).__name__)
        if target is None and name not in unguarded:
            raise SelfTestError(
                f"the handoff {name} does not say which agent it leads to: test that agent by itself, and name the handoff in unguarded"
            )
        return target


def _tool(test: SelfTest) -> FunctionTool:
    async def invoke(context: ToolContext[Any], text: str) -> str:
        return test.run()

    schema: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
    return FunctionTool(test.tool, "Must not run.", schema, invoke)


class _Script(Model):
    """A model that calls the tool of a self-test, and then ends."""

    def __init__(self, test: SelfTest) -> None:
        self._test = test
        self._called = False

    async def get_response(self, *args: Any, **options: Any) -> ModelResponse:
        output: list[Any]
        if self._called:
            text = ResponseOutputText(annotations=[], text="done", type="output_text")
            output = [
                ResponseOutputMessage(id="end", content=[text], role="assistant", status="completed", type="message")
            ]
        else:
            self._called = True
            output = [
                ResponseFunctionToolCall(
                    arguments="{}", call_id=self._test.call_id, name=self._test.tool, type="function_call"
                )
            ]
        return ModelResponse(output=output, usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError

"""
Pydantic AI: a capability of an agent.

    from datacrawl import DataCrawl
    from datacrawl.integrations.pydantic_ai import ToolGuard
    from pydantic_ai import Agent

    agent = Agent(model, tools=[send_email], capabilities=[ToolGuard(DataCrawl())])

The adapter wraps the agent's toolset. `before_tool_execute` and `wrap_tool_execute` are not the place for it: hooks of other
capabilities run inside of them, and may change the arguments after they were judged. The wrapped toolset is the last before the tool,
and the adapter is the innermost capability wherever it stands in the list.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic_ai import Agent, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.capabilities.abstract import CapabilityOrdering
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.tools import Tool
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool, WrapperToolset
from pydantic_core import to_jsonable_python

from ._judge import SELF_TEST_TOOL, Client, Judge, Refusal, SelfTest, ToolCall

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._judge import ToolGuardOptions


class ToolGuard(AbstractCapability[Any]):
    """
    Guards all function tools of an agent, those of MCP servers and other toolsets included. Output tools only make the answer, and are
    not asked about; a provider's own tools and external ones run elsewhere.

    The default key names the run in which the model made the call, also if another run goes on from its messages. A tool gets its validated
    arguments, which may be objects, as a deep copy; they are judged as the JSON that Pydantic makes of them.

    :param client: a DataCrawl or an AsyncDataCrawl
    :param options: see `ToolGuardOptions`
    """

    def __init__(self, client: Client, **options: Unpack[ToolGuardOptions]) -> None:
        super().__init__()
        self._judge = Judge(client, options, to_json=to_jsonable_python)

    def get_ordering(self) -> CapabilityOrdering:
        return CapabilityOrdering(position="innermost")

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any]:
        return _Guarded(toolset, self._judge)

    async def self_test(
        self, capabilities: Sequence[AbstractCapability[Any]] | None = None, tool: str = SELF_TEST_TOOL
    ) -> None:
        """
        Proves that a denied tool does not run, by an agent with a scripted model.

        :param capabilities: those of your agent, whose hooks run. Default: the guard alone
        :param tool: a tool that the policies deny
        :raises SelfTestError: if the tool ran, if the guard was not asked, or if the service could not be asked
        """
        with self._judge.self_test(tool) as test:
            canary = Tool(test.run, name=test.tool, takes_ctx=False, description="Must not run.")
            agent = Agent(
                _script(test), tools=[canary], capabilities=[self] if capabilities is None else list(capabilities)
            )
            await agent.run("self-test")


@dataclasses.dataclass
class _Guarded(WrapperToolset[Any]):
    judge: Judge

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        async def execute(arguments: dict[str, Any]) -> Any:
            return await self.wrapped.call_tool(name, arguments, ctx, tool)

        result = await self.judge.run_async(lambda: _read(name, tool_args, ctx), execute)
        if isinstance(result, Refusal):
            # The model reads it as the tool's failure, and no retry is counted.
            raise ToolFailed(self.judge.text(result))
        return result


def _read(name: str, arguments: dict[str, Any], ctx: RunContext[Any]) -> ToolCall:
    call_id = ctx.tool_call_id or ""
    return ToolCall(
        tool=name,
        arguments=arguments,
        call_id=call_id,
        run_id=_run_of(ctx.messages, call_id) or ctx.run_id or "",
        session_id=ctx.conversation_id,
        context=ctx,
    )


def _run_of(messages: Sequence[ModelMessage], call_id: str) -> str | None:
    """The run in which the model made the call: another run may go on from its messages."""
    for message in reversed(messages):
        if isinstance(message, ModelResponse) and any(
            isinstance(part, ToolCallPart) and part.tool_call_id == call_id for part in message.parts
        ):
            return message.run_id
    return None


def _script(test: SelfTest) -> FunctionModel:
    """A model that calls the tool of a self-test, and then ends."""

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if any(isinstance(part, ToolReturnPart) for message in messages for part in message.parts):
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart(test.tool, {}, tool_call_id=test.call_id)])

    return FunctionModel(respond)

"""
LangChain and LangGraph: a middleware of `create_agent`.

    from langchain.agents import create_agent
    from datacrawl import DataCrawl
    from datacrawl.integrations.langchain import ToolGuard

    guard = ToolGuard(DataCrawl())
    agent = create_agent(model, tools, middleware=[guard])  # the last one, if there are others

The first middleware of the list is the outermost. One that comes after the guard may change the arguments after they were
judged, or replace the tool, so `self_test` raises if there is one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import StructuredTool
from langgraph.types import Command

from ._judge import SELF_TEST_TOOL, Client, Judge, Refusal, SelfTest, SelfTestError, ToolCall

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._judge import ToolGuardOptions

Result: TypeAlias = "ToolMessage | Command[Any]"


class ToolGuard(AgentMiddleware[Any, Any, Any]):
    """
    Runs tools only if they are allowed. Works in `invoke` and `ainvoke`, whichever client it has.

    The default key names the model's message and the tool call, so that a run that continues from a checkpoint does not run a tool again.

    :param client: a DataCrawl or an AsyncDataCrawl
    :param options: see `ToolGuardOptions`
    """

    def __init__(self, client: Client, **options: Unpack[ToolGuardOptions]) -> None:
        super().__init__()
        self._judge = Judge(client, options, failed=_failed)

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Result]) -> Result:
        result = self._judge.run(lambda: _read(request), lambda arguments: handler(_with(request, arguments)))
        return self._answer(request, result)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Result]]
    ) -> Result:
        result = await self._judge.run_async(
            lambda: _read(request), lambda arguments: handler(_with(request, arguments))
        )
        return self._answer(request, result)

    def self_test(self, middleware: Sequence[AgentMiddleware[Any, Any, Any]], tool: str = SELF_TEST_TOOL) -> None:
        """
        Proves that a denied tool does not run: makes an agent with this middleware, a scripted model and a tool of this name, and runs it.

        :param middleware: that of your agent; all of its hooks run
        :param tool: a tool that the policies deny
        :raises SelfTestError: if the tool ran, if the guard was not asked, or if the service could not be asked
        """
        self._check_place(middleware)
        with self._judge.self_test(tool) as test:
            agent: Any = create_agent(_Script(test), [_tool(test)], middleware=middleware)
            agent.invoke(_QUESTION)

    async def aself_test(
        self, middleware: Sequence[AgentMiddleware[Any, Any, Any]], tool: str = SELF_TEST_TOOL
    ) -> None:
        """As `self_test`, by `ainvoke`."""
        self._check_place(middleware)
        with self._judge.self_test(tool) as test:
            agent: Any = create_agent(_Script(test), [_tool(test)], middleware=middleware)
            await agent.ainvoke(_QUESTION)

    def _check_place(self, middleware: Sequence[AgentMiddleware[Any, Any, Any]]) -> None:
        wrapping = [one for one in middleware if _wraps_tools(one)]
        if not wrapping or wrapping[-1] is not self:
            inner = wrapping[-1].name if wrapping else "nothing"
            raise SelfTestError(
                f"the guard must be the last middleware that wraps tool calls; {inner} is, and could change the call"
            )

    def _answer(self, request: ToolCallRequest, result: Any) -> Result:
        if not isinstance(result, Refusal):
            return result  # type: ignore[no-any-return]
        call = request.tool_call
        return ToolMessage(self._judge.text(result), name=call["name"], tool_call_id=call["id"], status="error")


def _read(request: ToolCallRequest) -> ToolCall:
    call = request.tool_call
    info = request.runtime.execution_info if request.runtime is not None else None
    session = (info.thread_id or info.run_id) if info is not None else None
    call_id = call["id"] or ""
    return ToolCall(
        tool=call["name"],
        arguments=call["args"],
        call_id=call_id,
        run_id=_message_id(request.state, call_id) or session or "",
        session_id=session,
        context=request,
    )


def _message_id(state: Any, call_id: str) -> str | None:
    """Of the message that has the call: in a checkpoint it stays the same, while each `invoke` has another run id, or none."""
    messages = state if isinstance(state, list) else _member(state, "messages") or []
    for message in reversed(messages):
        if isinstance(message, AIMessage) and any(call["id"] == call_id for call in message.tool_calls):
            return message.id
    return None


def _member(state: Any, name: str) -> Any:
    return state.get(name) if isinstance(state, dict) else getattr(state, name, None)


def _with(request: ToolCallRequest, arguments: dict[str, Any]) -> ToolCallRequest:
    return request.override(tool_call={**request.tool_call, "args": arguments})


def _failed(result: Any) -> bool:
    """ToolNode answers for a tool that raised."""
    return isinstance(result, ToolMessage) and result.status == "error"


def _wraps_tools(middleware: AgentMiddleware[Any, Any, Any]) -> bool:
    kind = type(middleware)
    return (
        kind.wrap_tool_call is not AgentMiddleware.wrap_tool_call
        or kind.awrap_tool_call is not AgentMiddleware.awrap_tool_call
    )


_QUESTION = {"messages": [{"role": "user", "content": "self-test"}]}


def _tool(test: SelfTest) -> StructuredTool:
    return StructuredTool.from_function(test.run, name=test.tool, description="Must not run.")


class _Script(BaseChatModel):
    """A model that calls the tool of a self-test, and then ends."""

    def __init__(self, test: SelfTest) -> None:
        super().__init__()
        self._test = test

    @property
    def _llm_type(self) -> str:
        return "datacrawl-self-test"

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        answered = any(isinstance(message, ToolMessage) for message in messages)
        call = {"name": self._test.tool, "args": {}, "id": self._test.call_id}
        reply = AIMessage("") if answered else AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=reply)])

"""OpenAI Agents SDK."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from agents import (
    Agent,
    AgentBase,
    FunctionTool,
    Handoff,
    RunConfig,
    Runner,
    ToolGuardrailFunctionOutput,
    WebSearchTool,
    function_tool,
    handoff,
    set_tracing_disabled,
    tool_input_guardrail,
)
from agents.realtime import RealtimeAgent
from agents.sandbox import SandboxAgent
from agents.testing import ScriptedModel, assistant_message, function_call
from server import API_KEY, serving
from situations import ARGUMENTS, TOOL, Cancelled, Framework, Service, Tool, Variants, run_snippets

from datacrawl import DataCrawl
from datacrawl.authz.v1 import execution_pb2 as executions
from datacrawl.integrations import SelfTestError
from datacrawl.integrations.openai_agents import ToolGuard

set_tracing_disabled(True)


def model(call_id: str = "call-1", arguments: Any = ARGUMENTS) -> ScriptedModel:
    return ScriptedModel([[function_call(TOOL, arguments, call_id=call_id)], [assistant_message("done")]])


def tool_of(tool: Tool, **options: Any) -> FunctionTool:
    @function_tool(name_override=TOOL, **options)
    async def transfer(to: str, amount: int) -> str:
        return await tool.arun(to, amount)

    return transfer


def said_by(result: Any) -> str:
    (item,) = [item for item in result.new_items if item.type == "tool_call_output_item"]
    return str(item.output)


class OpenAIAgents(Framework):
    async def run(
        self,
        client: Any,
        tool: Tool,
        *,
        call_id: str = "call-1",
        run_id: str = "run-1",
        arguments: dict[str, Any] = ARGUMENTS,
        **options: Any,
    ) -> str:
        if "tool_name" in options:
            options["tool"] = options.pop("tool_name")
        guard = ToolGuard(client, **options)
        agent = Agent(name="assistant", model=model(call_id, arguments), tools=guard.tools([tool_of(tool)]))
        return said_by(await Runner.run(agent, "Transfer it.", run_config=RunConfig(group_id=run_id)))

    async def self_test(self, client: Any, **options: Any) -> None:
        await ToolGuard(client).self_test(Agent(name="assistant"), **options)


class TestOpenAIAgents(Variants, Cancelled):
    framework = OpenAIAgents()


@pytest.fixture
def service() -> Service:
    return Service()


def run(agent: Agent[Any]) -> str:
    return said_by(asyncio.run(Runner.run(agent, "Transfer it.")))


@pytest.mark.parametrize("behavior", ["nothing", "an unknown type"])
def test_a_guardrail_that_does_not_say_allow_allows_and_the_guard_is_asked_all_the_same(
    service: Service, behavior: str
) -> None:
    @tool_input_guardrail
    def refuses(data: Any) -> ToolGuardrailFunctionOutput:
        if behavior == "nothing":
            return ToolGuardrailFunctionOutput(output_info={"allowed": False})
        return ToolGuardrailFunctionOutput(output_info=None, behavior={"type": "deny"})  # type: ignore[arg-type, typeddict-item]

    open_tool, guarded = Tool(), Tool()
    service.says = "deny"
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        # The trap: the SDK runs the tool.
        run(Agent(name="open", model=model(), tools=[tool_of(open_tool, tool_input_guardrails=[refuses])]))
        assert open_tool.calls == [ARGUMENTS]
        tools = ToolGuard(dc).tools([tool_of(guarded, tool_input_guardrails=[refuses])])
        assert "RULE_DENIED" in run(Agent(name="guarded", model=model(), tools=tools))
    assert guarded.calls == []


def test_an_approval_of_the_application_is_not_the_services(service: Service) -> None:
    service.says = "needs_review"
    tool = Tool()

    async def work(url: str) -> str:
        with DataCrawl(url, API_KEY, timeout=30) as dc:
            tools = ToolGuard(dc, review_timeout=0).tools([tool_of(tool, needs_approval=True)])
            agent = Agent(name="assistant", model=model(), tools=tools)
            first = await Runner.run(agent, "Transfer it.")
            state = first.to_state()
            state.approve(first.interruptions[0])
            return said_by(await Runner.run(agent, state))

    with serving(service) as server:
        assert "REVIEW_PENDING" in asyncio.run(work(server.url))
    assert tool.calls == []


def test_a_tool_that_times_out_while_the_guard_waits_does_not_run(service: Service) -> None:
    service.says = "needs_review"
    tool = Tool()
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        tools = ToolGuard(dc).tools([tool_of(tool, timeout=0.2)])
        assert "timed out" in run(Agent(name="assistant", model=model(), tools=tools))
    assert tool.calls == []


def test_a_tool_that_times_out_is_reported_as_unknown(service: Service) -> None:
    tool = Tool()
    tool.waits = True
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        tools = ToolGuard(dc).tools([tool_of(tool, timeout=5)])
        assert "timed out" in run(Agent(name="assistant", model=model(), tools=tools))
    assert tool.calls == [ARGUMENTS]
    assert service.reports == [executions.OUTCOME_UNKNOWN]


def test_a_failure_stays_as_the_tool_says(service: Service) -> None:
    tool = Tool()
    tool.error = ValueError("no such account")
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        guard = ToolGuard(dc, key=lambda call: str(id(call)))
        chosen = guard.tools([tool_of(tool, failure_error_function=lambda context, error: f"failed: {error}")])
        assert run(Agent(name="assistant", model=model(), tools=chosen)) == "failed: no such account"
        raises = guard.tools([tool_of(tool, failure_error_function=None)])
        with pytest.raises(Exception, match="no such account"):
            run(Agent(name="assistant", model=model(), tools=raises))
    assert service.reports == [executions.OUTCOME_FAILED] * 2


def test_arguments_that_are_not_an_object_are_refused(service: Service) -> None:
    tool = Tool()
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        for arguments in ("{", "[1]", json.dumps("to")):
            tools = ToolGuard(dc).tools([tool_of(tool)])
            assert "ADAPTER_ERROR" in run(Agent(name="assistant", model=model(arguments=arguments), tools=tools))
    assert tool.calls == []
    assert service.authorized == []


def test_an_agent_as_a_tool_is_judged_like_any_tool(service: Service) -> None:
    service.says = "deny"
    inner = Agent(name="inner", model=ScriptedModel([[assistant_message("asked")]]))
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        tools = ToolGuard(dc).tools([inner.as_tool(TOOL, "Asks the other agent.")])
        assert "RULE_DENIED" in run(Agent(name="assistant", model=model(arguments={"input": "hello"}), tools=tools))
    assert [asked["payload"] for asked in service.authorized] == [{"input": "hello"}]


@pytest.mark.parametrize(("says", "calls"), [("allow", [ARGUMENTS]), ("deny", [])])
def test_a_streamed_run_is_judged(service: Service, says: str, calls: Any) -> None:
    service.says = says
    tool = Tool()

    async def work(url: str) -> None:
        with DataCrawl(url, API_KEY, timeout=30) as dc:
            agent = Agent(name="assistant", model=model(), tools=ToolGuard(dc).tools([tool_of(tool)]))
            async for _ in Runner.run_streamed(agent, "Transfer it.").stream_events():
                pass

    with serving(service) as server:
        asyncio.run(work(server.url))
    assert tool.calls == calls


def test_what_cannot_be_guarded_is_refused_unless_it_is_named() -> None:
    with DataCrawl("http://127.0.0.1:1", API_KEY) as dc:
        guard = ToolGuard(dc)
        with pytest.raises(TypeError, match="'web_search' is a WebSearchTool"):
            guard.tools([WebSearchTool()])
        assert len(guard.tools([WebSearchTool()], unguarded=["web_search"])) == 1


def test_the_self_test_finds_tools_that_are_not_guarded() -> None:
    def test_of(agent: AgentBase[Any]) -> None:
        with DataCrawl("http://127.0.0.1:1", API_KEY) as dc:
            asyncio.run(ToolGuard(dc).self_test(agent))

    naked = Agent(name="naked", tools=[tool_of(Tool())])
    with pytest.raises(SelfTestError, match="transfer of the agent naked is not guarded"):
        test_of(naked)
    with pytest.raises(SelfTestError, match="transfer of the agent naked is not guarded"):
        test_of(Agent(name="first", handoffs=[naked]))
    with pytest.raises(SelfTestError, match="transfer of the agent naked is not guarded"):
        test_of(Agent(name="first", handoffs=[handoff(naked)]))
    with DataCrawl("http://127.0.0.1:1", API_KEY) as dc:
        guard = ToolGuard(dc)
        nested = Agent(name="first", tools=guard.tools([naked.as_tool("ask", "Asks the other agent.")]))
        with pytest.raises(SelfTestError, match="transfer of the agent naked is not guarded"):
            asyncio.run(guard.self_test(nested))
    with pytest.raises(SelfTestError, match="transfer of the agent speaking is not guarded"):
        test_of(RealtimeAgent(name="speaking", tools=[tool_of(Tool())]))
    with pytest.raises(SelfTestError, match="sandbox of the agent boxed"):
        test_of(SandboxAgent(name="boxed"))
    with pytest.raises(SelfTestError, match="the handoff elsewhere does not say"):
        test_of(Agent(name="first", handoffs=[Handoff("elsewhere", "", {}, lambda *given: naked, "naked")]))  # type: ignore[arg-type, return-value]
    with pytest.raises(SelfTestError, match="web_search"):
        test_of(Agent(name="searching", tools=[WebSearchTool()]))
    with pytest.raises(SelfTestError, match="MCP servers"):
        test_of(Agent(name="remote", mcp_servers=[object()]))  # type: ignore[list-item]


def test_the_snippets_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool()
    service = run_snippets("openai-agents.md", monkeypatch, model=model(), send_email=tool_of(tool))
    assert tool.calls == [ARGUMENTS]
    assert [asked["tool"] for asked in service.authorized] == ["datacrawl_self_test", TOOL]

"""Google's Agent Development Kit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.adk.agents import LlmAgent
from google.adk.code_executors import BuiltInCodeExecutor
from google.adk.models import BaseLlm, LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.runners import InMemoryRunner
from google.adk.tools import FunctionTool, google_search
from google.adk.tools.agent_tool import AgentTool
from google.adk.tools.base_toolset import BaseToolset
from google.genai import types
from server import API_KEY, serving
from situations import ARGUMENTS, TOOL, Cancelled, Framework, Service, Tool, Variants, run_snippets

from datacrawl import DataCrawl
from datacrawl.authz.v1 import execution_pb2 as executions
from datacrawl.integrations import SelfTestError
from datacrawl.integrations.google_adk import ToolGuard


class Model(BaseLlm):
    """Makes the call, and then ends."""

    def __init__(self, call_id: str = "call-1", arguments: Any = ARGUMENTS, name: str = TOOL) -> None:
        super().__init__(model="scripted")
        self._call = (call_id, arguments, name)

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
        parts = [part for content in llm_request.contents for part in content.parts or []]
        call_id, arguments, name = self._call
        if any(part.function_response for part in parts):
            part = types.Part(text="done")
        else:
            part = types.Part(function_call=types.FunctionCall(id=call_id, name=name, args=arguments))
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


def tool_of(tool: Tool, **options: Any) -> FunctionTool:
    async def transfer(to: str, amount: int) -> str:
        """Transfers money."""
        return await tool.arun(to, amount)

    return FunctionTool(transfer, **options)


async def run(agent: LlmAgent, plugins: list[BasePlugin] | None = None, run_id: str | None = None) -> str:
    runner = InMemoryRunner(agent, app_name="app", plugins=plugins)
    session = await runner.session_service.create_session(app_name="app", user_id="ann")
    message = types.Content(role="user", parts=[types.Part(text="Transfer it.")])
    said = ""
    options: dict[str, Any] = {} if run_id is None else {"invocation_id": run_id}
    async for event in runner.run_async(user_id="ann", session_id=session.id, new_message=message, **options):
        for answer in event.get_function_responses():
            said = str(answer.response)
    return said


class GoogleADK(Framework):
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
        # The runner chooses the invocation's id.
        options.setdefault("key", lambda call: f"{run_id}/{call.call_id}")
        guard = ToolGuard(client, **options)
        agent = LlmAgent(name="assistant", model=Model(call_id, arguments), tools=guard.tools([tool_of(tool)]))
        try:
            return await run(agent)
        except ValueError as error:
            return str(error)

    async def self_test(self, client: Any, **options: Any) -> None:
        await ToolGuard(client).self_test(LlmAgent(name="assistant", model="none"), **options)


class TestGoogleADK(Variants, Cancelled):
    framework = GoogleADK()


def agent_of(guard: ToolGuard, tool: Tool, **options: Any) -> LlmAgent:
    return LlmAgent(name="assistant", model=Model(), tools=guard.tools([tool_of(tool)]), **options)


def test_the_default_key_names_the_invocation_and_the_call() -> None:
    service, tool = Service(), Tool()
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        guard = ToolGuard(dc)
        asyncio.run(run(agent_of(guard, tool)))
        asyncio.run(run(agent_of(guard, tool)))
    first, second = (asked["key"] for asked in service.authorized)
    assert first.startswith("e-")
    assert first.endswith("/call-1")
    assert first != second
    assert service.authorized[0]["session"] != service.authorized[1]["session"] != ""


def test_what_the_agents_callbacks_change_is_judged() -> None:
    def changes(tool: Any, args: dict[str, Any], tool_context: Any) -> None:
        args.update(to="eve", amount=10_000)

    service, tool = Service(), Tool()
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        asyncio.run(run(agent_of(ToolGuard(dc), tool, before_tool_callback=changes)))
    assert [asked["payload"] for asked in service.authorized] == tool.calls == [{"to": "eve", "amount": 10_000}]


def test_what_is_changed_while_it_is_judged_does_not_reach_the_tool() -> None:
    kept: list[dict[str, Any]] = []

    def keeps(tool: Any, args: dict[str, Any], tool_context: Any) -> None:
        kept.append(args)

    service, tool = Service(), Tool()
    service.on_ask = lambda: kept[0].update(to="eve")
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        asyncio.run(run(agent_of(ToolGuard(dc), tool, before_tool_callback=keeps)))
    assert kept[0]["to"] == "eve"
    assert tool.calls == [ARGUMENTS]


def test_a_callback_that_returns_nothing_allows_and_the_guard_is_asked_all_the_same() -> None:
    class Refuses(BasePlugin):
        async def before_tool_callback(self, *, tool: Any, tool_args: Any, tool_context: Any) -> None:
            """Denies, and forgets to return it."""

    service, naked, tool = Service("deny"), Tool(), Tool()
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        open_agent = LlmAgent(name="assistant", model=Model(), tools=[tool_of(naked)])
        asyncio.run(run(open_agent, [Refuses("refuses")]))
        assert naked.calls == [ARGUMENTS]
        assert "RULE_DENIED" in asyncio.run(run(agent_of(ToolGuard(dc), tool), [Refuses("refuses")]))
    assert tool.calls == []


def test_a_confirmation_of_the_application_is_not_the_services() -> None:
    service, tool = Service("needs_review"), Tool()

    async def work(url: str) -> str:
        with DataCrawl(url, API_KEY, timeout=30) as dc:
            guard = ToolGuard(dc, review_timeout=0)
            tools = guard.tools([tool_of(tool, require_confirmation=True)])
            runner = InMemoryRunner(LlmAgent(name="assistant", model=Model(), tools=tools), app_name="app")
            session = await runner.session_service.create_session(app_name="app", user_id="ann")
            message = types.Content(role="user", parts=[types.Part(text="Transfer it.")])
            asked, said = "", ""
            async for event in runner.run_async(user_id="ann", session_id=session.id, new_message=message):
                for call in event.get_function_calls():
                    if call.name == "adk_request_confirmation":
                        asked = call.id or ""
            assert service.authorized == []
            answer = types.FunctionResponse(id=asked, name="adk_request_confirmation", response={"confirmed": True})
            confirmed = types.Content(role="user", parts=[types.Part(function_response=answer)])
            async for event in runner.run_async(user_id="ann", session_id=session.id, new_message=confirmed):
                for response in event.get_function_responses():
                    said = str(response.response)
            return said

    with serving(service) as server:
        assert "REVIEW_PENDING" in asyncio.run(work(server.url))
    assert tool.calls == []


def test_a_toolset_is_guarded_with_its_prefix() -> None:
    class Bank(BaseToolset):
        async def get_tools(self, readonly_context: Any = None) -> list[Any]:
            return [tool_of(tool)]

    service, tool = Service("deny"), Tool()
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        tools = ToolGuard(dc).tools([Bank(tool_name_prefix="bank")])
        agent = LlmAgent(name="assistant", model=Model(name="bank_transfer"), tools=tools)
        assert "RULE_DENIED" in asyncio.run(run(agent))
    assert [asked["tool"] for asked in service.authorized] == ["bank_transfer"]
    assert tool.calls == []


def test_tools_that_a_toolset_adds_to_the_request_itself_are_guarded() -> None:
    class Browser(BaseToolset):
        """As ComputerUseToolset."""

        async def get_tools(self, readonly_context: Any = None) -> list[Any]:
            return []

        async def process_llm_request(self, *, tool_context: Any, llm_request: Any) -> None:
            llm_request.tools_dict[TOOL] = tool_of(tool)

    service, tool = Service("deny"), Tool()
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        agent = LlmAgent(name="assistant", model=Model(), tools=ToolGuard(dc).tools([Browser()]))
        assert "RULE_DENIED" in asyncio.run(run(agent))
    assert tool.calls == []
    assert [asked["payload"] for asked in service.authorized] == [ARGUMENTS]


def test_a_guarded_toolset_is_listed_and_authenticated_as_the_toolset() -> None:
    class Growing(BaseToolset):
        """Its tools change within an invocation, as those of skills do."""

        listed = 0

        def __init__(self) -> None:
            super().__init__()
            self._use_invocation_cache = False

        async def get_tools(self, readonly_context: Any = None) -> list[Any]:
            self.listed += 1
            return [tool_of(tool)]

        def get_auth_config(self) -> Any:
            return auth

    auth: Any = object()
    growing, tool = Growing(), Tool()
    with DataCrawl("http://127.0.0.1:1", API_KEY) as dc:
        (guarded,) = ToolGuard(dc).tools([growing])
    assert guarded.get_auth_config() is auth
    for _ in range(2):
        asyncio.run(guarded.get_tools_with_prefix(None))
    assert growing.listed == 2


def test_arguments_that_the_tool_cannot_take_are_reported_as_failed() -> None:
    service, tool = Service(), Tool()
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        tools = ToolGuard(dc).tools([tool_of(tool)])
        said = asyncio.run(run(LlmAgent(name="assistant", model=Model(arguments={"to": "ann"}), tools=tools)))
    assert "mandatory input parameters" in said
    assert tool.calls == []
    assert service.reports == [executions.OUTCOME_FAILED]


def test_what_cannot_be_guarded_is_refused_unless_it_is_named() -> None:
    async def streams(to: str) -> AsyncIterator[str]:
        yield to

    with DataCrawl("http://127.0.0.1:1", API_KEY) as dc:
        guard = ToolGuard(dc)
        with pytest.raises(TypeError, match="'google_search' has no function"):
            guard.tools([google_search])
        assert guard.tools([google_search], unguarded=["google_search"]) == [google_search]
        with pytest.raises(TypeError, match="'streams' is a generator"):
            guard.tools([streams])
        with pytest.raises(TypeError, match="a str cannot be guarded"):
            guard.tools(["transfer"])


def test_the_self_test_finds_tools_that_are_not_guarded() -> None:
    naked = LlmAgent(name="naked", model="none", tools=[tool_of(Tool())])
    with DataCrawl("http://127.0.0.1:1", API_KEY) as dc:
        guard = ToolGuard(dc)
        for agent in (
            naked,
            LlmAgent(name="first", model="none", tools=guard.tools([AgentTool(naked)])),
            LlmAgent(name="first", model="none", sub_agents=[naked]),
        ):
            with pytest.raises(SelfTestError, match="transfer of the agent naked is not guarded"):
                asyncio.run(guard.self_test(agent))


def test_the_self_test_finds_code_that_the_model_writes() -> None:
    agent = LlmAgent(name="writes", model="none", code_executor=BuiltInCodeExecutor())
    with serving(Service()) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        with pytest.raises(SelfTestError, match="the agent writes runs code that its model writes"):
            asyncio.run(ToolGuard(dc).self_test(agent))
        asyncio.run(ToolGuard(dc).self_test(agent, unguarded=["code_executor"]))


def test_the_snippets_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool()

    async def send_email(to: str, amount: int) -> str:
        """Sends."""
        return await tool.arun(to, amount)

    async def run_agent(agent: LlmAgent) -> None:
        await run(agent)

    service = run_snippets(
        "google-adk.md", monkeypatch, model=Model(name="send_email"), send_email=send_email, run_agent=run_agent
    )
    assert tool.calls == [ARGUMENTS]
    assert [asked["tool"] for asked in service.authorized] == ["datacrawl_self_test", "send_email"]

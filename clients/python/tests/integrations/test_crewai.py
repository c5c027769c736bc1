"""CrewAI."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import tempfile
from types import SimpleNamespace
from typing import Any

_STORAGE = tempfile.mkdtemp(prefix="datacrawl-crewai-")
atexit.register(shutil.rmtree, _STORAGE, ignore_errors=True)
# Read when CrewAI is imported.
os.environ.update(
    CREWAI_DISABLE_TELEMETRY="true",
    CREWAI_STORAGE_DIR=_STORAGE,
    CREWAI_TRACING_ENABLED="false",
    OTEL_SDK_DISABLED="true",
)

import pytest
from crewai import Agent, BaseLLM, Crew, Task
from crewai.hooks import register_before_tool_call_hook, unregister_before_tool_call_hook
from crewai.tools import BaseTool
from pydantic import BaseModel, PrivateAttr
from server import API_KEY, serving
from situations import ARGUMENTS, TOOL, Framework, Service, Situations, Tool, Variants, run_snippets

from datacrawl import DataCrawl
from datacrawl.authz.v1 import execution_pb2 as executions
from datacrawl.integrations import SelfTestError
from datacrawl.integrations.crewai import ToolGuard


class Model(BaseLLM):
    """Makes the call, or several one after the other, and then ends."""

    _calls: list[Any] = PrivateAttr(default_factory=list)
    _seen: list[Any] = PrivateAttr(default_factory=list)

    def __init__(self, arguments: Any = ARGUMENTS, times: int = 1, native: bool = True) -> None:
        super().__init__(model="scripted")
        self._calls = [arguments] * times
        self._native = native

    _native: bool = PrivateAttr(default=True)

    def supports_function_calling(self) -> bool:
        return self._native

    def call(self, messages: Any, *args: Any, **options: Any) -> Any:
        self._seen.append(messages)
        if not self._calls:
            return "Thought: I know the answer.\nFinal Answer: done"
        arguments = self._calls.pop(0)
        if not self._native:
            return f"Thought: I transfer.\nAction: {TOOL}\nAction Input: {json.dumps(arguments)}"
        function = SimpleNamespace(name=TOOL, arguments=arguments)
        return [SimpleNamespace(id=f"call-{len(self._calls)}", type="function", function=function)]

    @property
    def read(self) -> str:
        return str(self._seen[-1])


class Arguments(BaseModel):
    to: str
    amount: int


class Transfer(BaseTool):
    name: str = TOOL
    description: str = "Transfers money."
    args_schema: type[BaseModel] = Arguments
    _tool: Tool = PrivateAttr()

    def _run(self, to: str, amount: int) -> str:
        return self._tool.run(to, amount)


class AsyncTransfer(Transfer):
    async def _run(self, to: str, amount: int) -> str:  # type: ignore[override]
        return await self._tool.arun(to, amount)


def tool_of(tool: Tool, kind: type[Transfer] = Transfer) -> Transfer:
    made = kind()
    made._tool = tool
    return made


def crew_of(model: Model, tools: list[Any]) -> Crew:
    agent = Agent(role="clerk", goal="transfer", backstory="a clerk", llm=model, tools=tools)
    return Crew(agents=[agent], tasks=[Task(description="Transfer it.", expected_output="done", agent=agent)])


class CrewAI(Framework):
    asynchronous = False
    native = True

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
        # CrewAI tells a tool no id of its call.
        options.setdefault("key", lambda call: f"{run_id}/{call_id}")
        model = Model(arguments, native=self.native)
        crew = crew_of(model, ToolGuard(client, **options).tools([tool_of(tool)]))
        await asyncio.to_thread(crew.kickoff)
        return model.read

    async def self_test(self, client: Any, **options: Any) -> None:
        nobody: Any = SimpleNamespace(agents=[], tasks=[])
        await asyncio.to_thread(ToolGuard(client).self_test, nobody, **options)


class ReAct(CrewAI):
    native = False


class TestCrewAINative(Variants):
    framework = CrewAI()


class TestCrewAIReAct(Situations):
    framework = ReAct()


def test_the_default_key_names_the_kickoff_the_tool_and_the_arguments() -> None:
    service, tool = Service(), Tool()
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        guard = ToolGuard(dc)
        for amount in (7, 7, 8):
            crew_of(Model({"to": "ann", "amount": amount}), guard.tools([tool_of(tool)])).kickoff()
    keys = [asked["key"].split("/") for asked in service.authorized]
    assert len({run for run, _ in keys}) == 3
    assert keys[0][1] == keys[1][1] != keys[2][1]
    assert len(tool.calls) == 3
    assert [asked["session"] for asked in service.authorized] == [run for run, _ in keys]


@pytest.mark.parametrize("native", [True, False])
def test_an_equal_call_in_one_kickoff_runs_once(native: bool) -> None:
    service, tool = Service(), Tool()
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        crew_of(Model(times=2, native=native), ToolGuard(dc).tools([tool_of(tool)])).kickoff()
    assert tool.calls == [ARGUMENTS]


def test_a_refusal_is_not_kept_for_the_next_equal_call() -> None:
    service, tool = Service("deny"), Tool()

    def change() -> None:
        if len(service.authorized) == 2:
            service.says = "allow"

    service.on_ask = change
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        # By functions: without them, CrewAI refuses an equal call by itself.
        crew = crew_of(Model(times=2), ToolGuard(dc).tools([tool_of(tool)]))
        crew.cache = True
        crew.kickoff()
    assert len(service.authorized) == 2
    assert tool.calls == [ARGUMENTS]


def test_a_coroutine_function_is_awaited() -> None:
    service, tool = Service(), Tool()
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        crew_of(Model(), ToolGuard(dc).tools([tool_of(tool, AsyncTransfer)])).kickoff()
        assert tool.calls == [ARGUMENTS]
        # Before it is reported: how it ended is known only then.
        tool.error = ValueError("no such account")
        crew_of(Model(), ToolGuard(dc).tools([tool_of(tool, AsyncTransfer)])).kickoff()
    assert service.reports == [executions.OUTCOME_SUCCEEDED, executions.OUTCOME_FAILED]


@pytest.mark.parametrize("kind", [Transfer, AsyncTransfer])
def test_a_tool_that_is_called_by_arun_is_judged(kind: type[Transfer]) -> None:
    service, tool = Service(), Tool()
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
        (guarded,) = ToolGuard(dc, key=lambda call: "key").tools([tool_of(tool, kind)])
        assert asyncio.run(guarded.arun(**ARGUMENTS)) == "transferred"
        assert "ALREADY_STARTED" in asyncio.run(guarded.arun(**ARGUMENTS))
    assert tool.calls == [ARGUMENTS]


def _raises(context: Any) -> Any:
    raise PermissionError("denied")


async def _asynchronous(context: Any) -> bool:
    return False


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize(
    "hook",
    [_raises, _asynchronous, lambda context: None, lambda context: "deny", lambda context: 0],
    ids=["raises", "asynchronous", "None", "deny", "0"],
)
def test_a_hook_that_does_not_return_false_allows_and_the_guard_is_asked_all_the_same(hook: Any) -> None:
    service, naked, tool = Service("deny"), Tool(), Tool()
    register_before_tool_call_hook(hook)
    try:
        with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
            # The trap: CrewAI runs the tool.
            crew_of(Model(), [tool_of(naked)]).kickoff()
            assert naked.calls == [ARGUMENTS]
            crew_of(Model(), ToolGuard(dc).tools([tool_of(tool)])).kickoff()
    finally:
        unregister_before_tool_call_hook(hook)
    assert tool.calls == []
    assert [asked["payload"] for asked in service.authorized] == [ARGUMENTS]


def test_what_a_hook_changes_in_place_is_judged() -> None:
    def changes(context: Any) -> None:
        context.tool_input.update(to="eve", amount=10_000)

    service, tool = Service(), Tool()
    register_before_tool_call_hook(changes)
    try:
        with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:
            crew_of(Model(dict(ARGUMENTS)), ToolGuard(dc).tools([tool_of(tool)])).kickoff()
    finally:
        unregister_before_tool_call_hook(changes)
    assert [asked["payload"] for asked in service.authorized] == tool.calls == [{"to": "eve", "amount": 10_000}]


def test_the_self_test_finds_tools_that_are_not_guarded() -> None:
    with DataCrawl("http://127.0.0.1:1", API_KEY) as dc:
        guard = ToolGuard(dc)
        with pytest.raises(SelfTestError, match="transfer of 'clerk' is not guarded"):
            guard.self_test(crew_of(Model(), [tool_of(Tool())]))
        with pytest.raises(TypeError, match="not a tool of CrewAI"):
            guard.tools(["transfer"])  # type: ignore[list-item]


def test_a_guarded_tool_looks_like_the_tool() -> None:
    with DataCrawl("http://127.0.0.1:1", API_KEY) as dc:
        plain = tool_of(Tool())
        (guarded,) = ToolGuard(dc).tools([plain])
    fields = set(BaseTool.model_fields) - {"cache_function"}
    assert {name: getattr(guarded, name) for name in fields} == {name: getattr(plain, name) for name in fields}


def test_the_snippets_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool()
    service = run_snippets("crewai.md", monkeypatch, llm=Model(), send_email=tool_of(tool))
    assert tool.calls == [ARGUMENTS]
    assert [asked["tool"] for asked in service.authorized] == ["datacrawl_self_test", TOOL]

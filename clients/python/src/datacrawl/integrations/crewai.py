"""
CrewAI: tools that ask before they run.

    from crewai import Agent
    from datacrawl import DataCrawl
    from datacrawl.integrations.crewai import ToolGuard

    guard = ToolGuard(DataCrawl())
    agent = Agent(role="assistant", goal="help", backstory="…", llm=llm, tools=guard.tools([send_email]))

The adapter wraps tools, and registers no `before_tool_call` hook. Such a hook blocks only by `return False` or `HookAborted`: whatever
else it returns or raises, CrewAI runs the tool, also after an asynchronous hook, which nothing awaits. Hooks are global, and change
arguments in place.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from crewai import Agent, BaseLLM, Crew, Task
from crewai.execution import get_execution_uuid
from crewai.tools import BaseTool
from crewai.tools.base_tool import Tool
from pydantic import PrivateAttr
from pydantic_core import to_jsonable_python

from ._judge import SELF_TEST_TOOL, Client, Judge, Refusal, SelfTest, SelfTestError, ToolCall

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._judge import ToolGuardOptions


class ToolGuard:
    """
    Wraps tools of CrewAI.

    CrewAI tells a tool no id of its call. The default key names the kickoff, the tool and the arguments: within one kickoff, equal calls
    are one action. Where a tool is to do the same twice, use the option `key`, or `once=False`.

    :param client: a DataCrawl or an AsyncDataCrawl
    :param options: see `ToolGuardOptions`
    """

    def __init__(self, client: Client, **options: Unpack[ToolGuardOptions]) -> None:
        self._judge = Judge(client, options, to_json=to_jsonable_python)

    def tools(self, tools: Iterable[BaseTool]) -> list[BaseTool]:
        """
        The same tools, guarded.

        :raises TypeError: if one is not a tool of CrewAI
        """
        return [_guard(tool, self._judge) for tool in tools]

    def self_test(self, crew: Crew, tool: str = SELF_TEST_TOOL) -> None:
        """
        Proves that a denied tool does not run, by a crew with a scripted model, and looks for tools of `crew` that are not guarded.

        :param tool: a tool that the policies deny
        :raises SelfTestError: if the tool ran, if the guard was not asked, if the service could not be asked, or if a tool is not guarded
        """
        for owner in [*crew.agents, *crew.tasks]:
            name = getattr(owner, "role", None) or getattr(owner, "description", "")
            for one in owner.tools or []:
                if not isinstance(one, _Guarded):
                    raise SelfTestError(f"{one.name} of {name!r} is not guarded: pass the tools through tools()")
            if getattr(owner, "mcps", None) or getattr(owner, "apps", None):
                raise SelfTestError(
                    f"the tools of MCP servers and apps of {name!r} are not guarded: ask in front of the server"
                )
        with self._judge.self_test(tool) as test:
            canary = self.tools([_tool(test)])
            agent = Agent(role="self-test", goal="self-test", backstory="self-test", llm=_Script(test), tools=canary)
            Crew(agents=[agent], tasks=[Task(description="self-test", expected_output="done", agent=agent)]).kickoff()


class _Refused(str):
    """What the model reads instead of a result. CrewAI must not keep it for the next equal call."""


def unless_refused(args: Any = None, result: Any = None) -> bool:
    """Whether CrewAI may keep a result: all but refusals."""
    return not isinstance(result, _Refused)


class _Guarded(BaseTool):
    _wrapped: BaseTool = PrivateAttr()
    _judge: Judge = PrivateAttr()

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        def execute(arguments: dict[str, Any]) -> Any:
            result = self._wrapped._run(**arguments)
            return asyncio.run(result) if inspect.iscoroutine(result) else result

        return self._answer(self._judge.run(lambda: self._read(args, kwargs), execute))

    async def _arun(self, *args: Any, **kwargs: Any) -> Any:
        async def execute(arguments: dict[str, Any]) -> Any:
            if _is_async(self._wrapped):
                return await self._wrapped._arun(**arguments)
            result = await asyncio.to_thread(self._wrapped._run, **arguments)
            return await result if inspect.iscoroutine(result) else result

        return self._answer(await self._judge.run_async(lambda: self._read(args, kwargs), execute))

    def _read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolCall:
        arguments = {**dict(zip(self.args_schema.model_fields, args, strict=False)), **kwargs}
        text = json.dumps([self.name, to_jsonable_python(arguments)], sort_keys=True)
        run_id = get_execution_uuid()
        return ToolCall(
            tool=self.name,
            arguments=arguments,
            call_id=hashlib.sha256(text.encode()).hexdigest(),
            run_id=run_id or "",
            session_id=run_id,
            context=self,
        )

    def _answer(self, result: Any) -> Any:
        return _Refused(self._judge.text(result)) if isinstance(result, Refusal) else result


def _guard(tool: Any, judge: Judge) -> _Guarded:
    if not isinstance(tool, BaseTool):
        raise TypeError(f"a {type(tool).__name__} is not a tool of CrewAI, and cannot be guarded")
    fields: dict[str, Any] = {name: getattr(tool, name) for name in BaseTool.model_fields}
    cached: Callable[..., bool] = tool.cache_function
    if cached is BaseTool.model_fields["cache_function"].default:
        # CrewAI can name this function in a checkpoint.
        fields["cache_function"] = unless_refused
    else:
        fields["cache_function"] = lambda args=None, result=None: unless_refused(args, result) and cached(args, result)
    guarded = _Guarded(**fields)
    guarded._wrapped, guarded._judge = tool, judge
    return guarded


def _is_async(tool: BaseTool) -> bool:
    if isinstance(tool, Tool):
        return inspect.iscoroutinefunction(tool.func)
    return type(tool)._arun is not BaseTool._arun


def _tool(test: SelfTest) -> BaseTool:
    class Canary(BaseTool):
        name: str = test.tool
        description: str = "Must not run."

        def _run(self) -> str:
            return test.run()

    return Canary()


class _Script(BaseLLM):
    """A model that calls the tool of a self-test, and then ends."""

    _test: SelfTest = PrivateAttr()
    _called: bool = PrivateAttr(default=False)

    def __init__(self, test: SelfTest) -> None:
        super().__init__(model="self-test")
        self._test = test

    def supports_function_calling(self) -> bool:
        return False

    def call(self, *args: Any, **options: Any) -> str:
        if self._called:
            return "Thought: I know the answer.\nFinal Answer: done"
        self._called = True
        return f"Thought: I test.\nAction: {self._test.tool}\nAction Input: {{}}"

"""The judgement that all adapters share, with a framework that does nothing of its own."""

from __future__ import annotations

import asyncio
import datetime
import threading
from typing import Any

import pytest
from server import API_KEY, Asked, serving
from situations import ARGUMENTS, TOOL, Cancelled, Framework, Service, Tool, Variants

from datacrawl import DataCrawl
from datacrawl.authz.v1 import execution_pb2 as executions
from datacrawl.integrations import Refusal, SelfTestError, ToolCall
from datacrawl.integrations._judge import SELF_TEST_TOOL, Judge
from datacrawl.testing import FakeDataCrawl


class Async(Framework):
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
        judge = Judge(client, options)  # type: ignore[arg-type]
        try:
            result = await self.call(judge, ToolCall(TOOL, arguments, call_id, run_id), tool)
        except ValueError as error:
            return str(error)
        return judge.text(result) if isinstance(result, Refusal) else result

    async def call(self, judge: Judge, call: ToolCall, tool: Tool) -> Any:
        return await judge.run_async(lambda: call, lambda arguments: tool.arun(**arguments))

    async def self_test(self, client: Any, tool: str = SELF_TEST_TOOL, **options: Any) -> None:
        judge = Judge(client, {})
        with judge.self_test(tool) as test:
            judge.run(lambda: ToolCall(tool, {}, test.call_id, "run-1"), lambda arguments: test.run())


class Sync(Async):
    asynchronous = False

    async def call(self, judge: Judge, call: ToolCall, tool: Tool) -> Any:
        return judge.run(lambda: call, lambda arguments: tool.run(**arguments))


class TestJudgeSync(Variants):
    framework = Sync()


class TestJudgeAsync(Variants, Cancelled):
    framework = Async()


@pytest.mark.parametrize(("call_id", "run_id"), [("", "run-1"), ("call-1", "")])
def test_a_call_without_an_id_is_refused(call_id: str, run_id: str) -> None:
    dc, tool = FakeDataCrawl({TOOL: "allow"}), Tool()
    said = asyncio.run(Async().run(dc, tool, call_id=call_id, run_id=run_id))
    assert "the option key is needed" in said
    assert dc.requests == []
    assert tool.calls == []


def test_a_call_that_cannot_be_read_is_refused_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    tool = Tool()

    def unreadable() -> ToolCall:
        raise AttributeError("no such attribute")

    judge = Judge(FakeDataCrawl({TOOL: "allow"}), {})
    for result in (
        judge.run(unreadable, lambda arguments: tool.run(**arguments)),
        asyncio.run(judge.run_async(unreadable, lambda arguments: tool.arun(**arguments))),
    ):
        assert isinstance(result, Refusal)
        assert (result.reason, result.message) == ("ADAPTER_ERROR", "The call could not be read.")
    assert "no such attribute" in caplog.text
    assert tool.calls == []


def test_arguments_that_are_not_json_are_refused_without_a_payload() -> None:
    dc = FakeDataCrawl({TOOL: "allow"})
    arguments = {"at": datetime.date(2026, 1, 1)}
    ran: list[Any] = []
    refused = Judge(dc, {}).run(lambda: ToolCall(TOOL, arguments, "call-1", "run-1"), ran.append)
    assert refused.message == "arguments.at must be a JSON value, is a date."
    judge = Judge(dc, {"payload": lambda call: {"at": str(call.arguments["at"])}})
    judge.run(lambda: ToolCall(TOOL, arguments, "call-2", "run-1"), ran.append)
    assert ran == [arguments]
    assert ran[0] is not arguments
    assert [request.payload for request in dc.requests] == [{"at": "2026-01-01"}]


def test_objects_are_judged_as_json_and_given_to_the_tool_as_objects() -> None:
    dc, ran, names = FakeDataCrawl({TOOL: "allow"}), list[Any](), ["ann"]
    day = datetime.date(2026, 1, 1)

    def key(call: ToolCall) -> str:
        names.append("eve")
        return "key"

    judge = Judge(dc, {"key": key}, to_json=lambda given: {"at": str(given["at"])})
    judge.run(lambda: ToolCall(TOOL, {"at": day, "names": names}, "call-1", "run-1"), ran.append)
    assert ran == [{"at": day, "names": ["ann"]}]
    assert [request.payload for request in dc.requests] == [{"at": "2026-01-01"}]


def test_an_option_that_changes_the_arguments_does_not_change_what_the_tool_gets() -> None:
    ran: list[Any] = []
    judge = Judge(FakeDataCrawl({TOOL: "allow"}), {"key": lambda call: str(call.arguments.pop("to"))})
    judge.run(lambda: ToolCall(TOOL, dict(ARGUMENTS), "call-1", "run-1"), ran.append)
    assert ran == [ARGUMENTS]


def test_what_the_tool_raises_is_raised() -> None:
    judge, tool = Judge(FakeDataCrawl({TOOL: "allow"}), {"once": False}), Tool()
    tool.error = ValueError("no such account")
    with pytest.raises(ValueError, match="no such account"):
        judge.run(lambda: ToolCall(TOOL, ARGUMENTS, "call-1", "run-1"), lambda arguments: tool.run(**arguments))
    call = ToolCall(TOOL, ARGUMENTS, "call-1", "run-1")
    with pytest.raises(ValueError, match="no such account"):
        asyncio.run(judge.run_async(lambda: call, lambda arguments: tool.arun(**arguments)))


def test_a_result_that_is_a_failure_is_reported_as_failed() -> None:
    dc = FakeDataCrawl({TOOL: "allow"})
    judge = Judge(dc, {}, failed=lambda result: result == "failed")
    assert judge.run(lambda: ToolCall(TOOL, {}, "call-1", "run-1"), lambda arguments: "failed") == "failed"
    assert [(report.outcome, report.error_code) for report in dc.reports] == [("failed", "TOOL_ERROR")]


def test_the_default_text_is_used_if_the_option_explain_raises() -> None:
    judge = Judge(FakeDataCrawl(), {"explain": lambda refusal: refusal.nothing})  # type: ignore[attr-defined]
    refused = judge.run(lambda: ToolCall(TOOL, {}, "call-1", "run-1"), lambda arguments: "ran")
    assert "NO_MATCHING_RULE" in judge.text(refused)


def test_the_text_says_what_the_model_can_do() -> None:
    judge = Judge(FakeDataCrawl(), {})
    texts = {
        reason: judge.text(Refusal(TOOL, reason, "Because.", "0195e0b2"))
        for reason in ("RULE_DENIED", "REVIEW_PENDING", "CIRCUIT_OPEN", "ALREADY_STARTED")
    }
    assert texts["RULE_DENIED"] == (
        "transfer did not run (RULE_DENIED, decision 0195e0b2). Because. Do not call it again with the same arguments."
    )
    assert "waits for a person" in texts["REVIEW_PENDING"]
    assert "again later" in texts["CIRCUIT_OPEN"]
    assert "for the same purpose" in texts["ALREADY_STARTED"]


def test_options_and_clients_that_are_wrong_are_refused() -> None:
    with pytest.raises(TypeError, match="keys"):
        Judge(FakeDataCrawl(), {"keys": lambda call: "k"})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(TypeError, match="is a str"):
        Judge("http://127.0.0.1:7440", {})  # type: ignore[arg-type]


def test_the_self_test_raises_if_the_guard_was_not_asked() -> None:
    with pytest.raises(SelfTestError, match="not asked"), Judge(FakeDataCrawl(), {}).self_test("wipe"):
        pass


def test_the_self_test_asks_about_its_own_tool_whatever_the_options_make_of_the_applications() -> None:
    dc = FakeDataCrawl({"bank.transfer": "allow", "wipe": "deny"})
    options: Any = {"tool": lambda call: "bank.transfer", "payload": lambda call: {"to": call.arguments["to"]}}
    options["key"] = lambda call: call.arguments["to"]
    judge = Judge(dc, options)
    with judge.self_test("wipe") as test:
        judge.run(lambda: ToolCall("wipe", {}, test.call_id, "run-1"), lambda arguments: test.run())
    assert [(asked.tool, asked.payload) for asked in dc.requests] == [("wipe", {})]
    # Afterwards it is a tool like others.
    judge.run(lambda: ToolCall("wipe", {"to": "ann"}, "call-1", "run-1"), lambda arguments: "ran")
    assert dc.requests[1].tool == "bank.transfer"


def test_a_report_that_is_lost_changes_nothing_of_the_result() -> None:
    service, tool = Service(), Tool()
    with serving(service) as server, DataCrawl(server.url, API_KEY, timeout=30) as dc:

        def run(arguments: dict[str, Any]) -> str:
            service.says = "unavailable"
            return tool.run(**arguments)

        said = Judge(dc, {}).run(lambda: ToolCall(TOOL, ARGUMENTS, "call-1", "run-1"), run)
    assert said == "transferred"


@pytest.mark.parametrize("when", ["the tool runs", "its success is reported"])
def test_a_report_is_sent_again_although_its_run_is_cancelled_at_each_await(when: str) -> None:
    service, tool = Service(), Tool()
    tool.waits = when == "the tool runs"
    reported = threading.Event()
    cut = [True]

    def respond(asked: Asked) -> None:
        if asked.method == "ReportOutcome" and cut:
            cut.pop()
            reported.set()
            return asked.drop()
        return service(asked)

    async def work(url: str) -> None:
        with DataCrawl(url, API_KEY, timeout=30) as dc:
            call = ToolCall(TOOL, ARGUMENTS, "call-1", "run-1")
            run = asyncio.create_task(Judge(dc, {}).run_async(lambda: call, lambda given: tool.arun(**given)))
            while not (tool.running if tool.waits else reported).is_set():
                await asyncio.sleep(0.01)
            cancel(run)
            with pytest.raises(asyncio.CancelledError):
                await run

    def cancel(run: asyncio.Task[Any]) -> None:
        """As a cancel scope of anyio does."""
        if not run.done():
            run.cancel()
            asyncio.get_running_loop().call_soon(cancel, run)

    with serving(respond) as server:
        asyncio.run(work(server.url))
    assert service.reports == [executions.OUTCOME_UNKNOWN if tool.waits else executions.OUTCOME_SUCCEEDED]

"""What every adapter must do, in each situation: suites for a framework with a scripted model. There is no network."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from google.protobuf import json_format
from server import API_KEY, Asked, Server, answer, reported, serving, start, watched

from datacrawl import AsyncDataCrawl, DataCrawl
from datacrawl.authz.v1 import decision_pb2 as decisions
from datacrawl.authz.v1 import execution_pb2 as executions
from datacrawl.integrations import SelfTestError

URL = os.environ.get("DATACRAWL_TEST_URL", "")
KEY = os.environ.get("DATACRAWL_TEST_KEY", "")
"""Of the real service, which test/clients/python.test.ts and test/clients/python-integrations.test.ts start."""

TOOL = "transfer"
ARGUMENTS = {"to": "ann", "amount": 7}
UNAVAILABLE = 14
_ANSWERS: dict[str, dict[str, Any]] = {
    "allow": {},
    "deny": {"decision": decisions.DECISION_DENY, "reason": decisions.REASON_RULE_DENIED, "message": "Not at night."},
    "needs_review": {"decision": decisions.DECISION_NEEDS_REVIEW, "reason": decisions.REASON_REVIEW_PENDING},
    "malformed": {"nonce": b"0123456789abcdef"},
    "unknown decision": {"decision": 9},
}


def run_snippets(page: str, monkeypatch: pytest.MonkeyPatch, **names: Any) -> Service:
    """Runs the snippets of a page of docs/integrations as they stand, one after the other."""
    text = (Path(__file__).resolve().parents[3] / "docs/integrations" / page).read_text()
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert snippets
    service = Service()
    with serving(service) as server:
        monkeypatch.setenv("DATACRAWL_URL", server.url)
        monkeypatch.setenv("DATACRAWL_API_KEY", API_KEY)
        for snippet in snippets:
            exec(compile(snippet, page, "exec"), names)
    return service


class Service:
    """Answers as the real one does: a key has one decision, and a decision is started once. `says` is its policy."""

    def __init__(self, says: str = "allow") -> None:
        self.says = says
        self.on_ask: Callable[[], object] = lambda: None
        self.authorized: list[dict[str, Any]] = []
        self.reports: list[int] = []
        self._lock = threading.Lock()
        self.decisions: dict[str, str] = {}
        self._started: set[str] = set()

    def __call__(self, asked: Asked) -> None:
        if self.says == "unavailable":
            asked.fail(UNAVAILABLE)
        elif self.says == "hangs" or (self.says == "hangs at the start" and asked.method == "BeginExecution"):
            asked.hang()
        elif self.says == "drops":
            asked.drop()
        elif asked.method == "Authorize":
            self._authorize(asked)
        elif asked.method == "BeginExecution":
            self._begin(asked)
        elif asked.method == "ReportOutcome":
            self.reports.append(asked.request.outcome)
            asked.reply(reported(asked))
        else:
            self._watch(asked)

    def _authorize(self, asked: Asked) -> None:
        request = asked.request
        with self._lock:
            self.authorized.append(
                {
                    "tool": request.tool,
                    "payload": json_format.MessageToDict(request.payload),
                    "key": request.idempotency_key,
                    "principal": request.principal,
                    "session": request.session_id,
                }
            )
            decision_id = self.decisions.setdefault(request.idempotency_key, str(uuid.uuid4()))
        self.on_ask()
        # The tool of a self-test has no rule.
        says = "deny" if request.tool == "datacrawl_self_test" else self.says
        fields = _ANSWERS.get("needs_review" if says == "approves" else says, {})
        asked.reply(answer(asked, decision_id=decision_id, **fields))

    def _begin(self, asked: Asked) -> None:
        with self._lock:
            first = asked.request.decision_id not in self._started
            self._started.add(asked.request.decision_id)
        if self.says == "refuses to start":
            frozen = executions.EXECUTION_REFUSAL_AGENT_FROZEN
            refused = executions.EXECUTION_STATE_REFUSED
            asked.reply(start(asked, state=refused, reason=frozen, execution_id="", started_by=""))
        elif first:
            asked.reply(start(asked))
        else:
            asked.reply(start(asked, state=executions.EXECUTION_STATE_ALREADY_STARTED, execution_id=""))

    def _watch(self, asked: Asked) -> None:
        approved = {"decision": decisions.DECISION_ALLOW, "reason": decisions.REASON_REVIEW_APPROVED}
        asked.reply(watched(asked, tool=TOOL, **(approved if self.says == "approves" else {})))


class Tool:
    """What the framework's tool does."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.running = threading.Event()
        self.error: BaseException | None = None
        self.waits = False
        """For its cancellation."""

    def run(self, to: str, amount: int) -> str:
        self.calls.append({"to": to, "amount": amount})
        self.running.set()
        if self.error is not None:
            raise self.error
        return "transferred"

    async def arun(self, to: str, amount: int) -> str:
        self.calls.append({"to": to, "amount": amount})
        self.running.set()
        if self.waits:
            await asyncio.sleep(60)
        if self.error is not None:
            raise self.error
        return "transferred"


class Framework(ABC):
    """Runs an agent of a framework whose model makes one tool call, and then ends."""

    asynchronous: ClassVar[bool] = True

    @abstractmethod
    async def run(
        self,
        client: DataCrawl | AsyncDataCrawl,
        tool: Tool,
        *,
        call_id: str = "call-1",
        run_id: str = "run-1",
        arguments: dict[str, Any] = ARGUMENTS,
        **options: Any,
    ) -> str:
        """What the model read of the tool, or the error that ended the run. `arguments` is the object that the model has made."""

    @abstractmethod
    async def self_test(self, client: DataCrawl | AsyncDataCrawl, **options: Any) -> None: ...


class Situations:
    """The table of docs/integrations/README.md."""

    framework: ClassVar[Framework]

    @pytest.fixture
    def service(self) -> Service:
        return Service()

    @pytest.fixture
    def server(self, service: Service) -> Iterator[Server]:
        with serving(service) as server:
            yield server

    @pytest.fixture
    def tool(self) -> Tool:
        return Tool()

    def run(self, url: str, tool: Tool, *, timeout: float = 30, **options: Any) -> str:
        async def work() -> str:
            with DataCrawl(url, API_KEY, timeout=timeout, circuit_failures=1000) as dc:
                return await self.framework.run(dc, tool, **options)

        return asyncio.run(work())

    def test_an_allowed_tool_runs_once_with_the_arguments_that_were_judged(
        self, service: Service, server: Server, tool: Tool
    ) -> None:
        arguments = dict(ARGUMENTS)
        service.on_ask = lambda: arguments.update(to="eve", amount=10_000)
        said = self.run(server.url, tool, arguments=arguments)
        assert "transferred" in said
        assert tool.calls == [ARGUMENTS]
        (asked,) = service.authorized
        assert (asked["tool"], asked["payload"]) == (TOOL, ARGUMENTS)
        assert "call-1" in asked["key"]
        assert service.reports == [executions.OUTCOME_SUCCEEDED]

    def test_options_name_the_tool_the_key_and_the_payload(self, service: Service, server: Server, tool: Tool) -> None:
        self.run(
            server.url,
            tool,
            tool_name=lambda call: f"bank.{call.tool}",
            key=lambda call: f"{call.arguments['to']}-7",
            payload=lambda call: {"cents": call.arguments["amount"] * 100},
            principal=lambda call: call.arguments["to"],
            session_id="session-7",
        )
        assert service.authorized == [
            {
                "tool": "bank.transfer",
                "payload": {"cents": 700},
                "key": "ann-7",
                "principal": "ann",
                "session": "session-7",
            }
        ]
        assert tool.calls == [ARGUMENTS]

    def test_a_denied_tool_does_not_run_and_the_model_reads_why(
        self, service: Service, server: Server, tool: Tool
    ) -> None:
        service.says = "deny"
        said = self.run(server.url, tool)
        assert tool.calls == []
        assert "RULE_DENIED" in said
        assert "Not at night." in said

    def test_a_review_that_nobody_answers_denies_with_the_decision(
        self, service: Service, server: Server, tool: Tool
    ) -> None:
        service.says = "needs_review"
        said = self.run(server.url, tool, review_timeout=0.5)
        assert tool.calls == []
        assert service.decisions.popitem()[1] in said
        assert service.reports == []

    def test_a_tool_runs_when_people_have_approved(self, service: Service, server: Server, tool: Tool) -> None:
        service.says = "approves"
        assert "transferred" in self.run(server.url, tool)
        assert tool.calls == [ARGUMENTS]

    def test_no_tool_runs_while_the_service_is_down(self, tool: Tool) -> None:
        # Bound, so that nobody else gets the port, and not listening.
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            said = self.run(f"http://127.0.0.1:{bound.getsockname()[1]}", tool)
        assert "SERVICE_UNAVAILABLE" in said
        assert tool.calls == []

    @pytest.mark.parametrize("says", ["hangs", "hangs at the start"])
    def test_no_tool_runs_while_the_service_accepts_and_never_answers(
        self, service: Service, server: Server, tool: Tool, says: str
    ) -> None:
        service.says = says
        assert "DEADLINE_EXCEEDED" in self.run(server.url, tool, timeout=0.5)
        assert tool.calls == []

    def test_no_tool_runs_on_a_malformed_answer(self, service: Service, server: Server, tool: Tool) -> None:
        service.says = "malformed"
        said = self.run(server.url, tool)
        assert "did not run" in said
        assert tool.calls == []

    def test_no_tool_runs_if_the_adapter_raises(
        self, service: Service, server: Server, tool: Tool, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(call: Any) -> Any:
            raise RuntimeError("the option is broken")

        options: dict[str, Any] = {"key": broken}
        said = self.run(server.url, tool, **options)
        assert "ADAPTER_ERROR" in said
        assert "the option is broken" not in said
        assert "the option is broken" in caplog.text
        assert tool.calls == []
        assert service.authorized == []

    def test_a_tool_that_raises_is_reported_as_failed(self, service: Service, server: Server, tool: Tool) -> None:
        tool.error = ValueError("no such account")
        self.run(server.url, tool)
        assert tool.calls == [ARGUMENTS]
        assert service.reports == [executions.OUTCOME_FAILED]

    def test_a_second_run_of_the_same_call_does_not_run_the_tool(
        self, service: Service, server: Server, tool: Tool
    ) -> None:
        assert "transferred" in self.run(server.url, tool)
        assert "ALREADY_STARTED" in self.run(server.url, tool)
        assert tool.calls == [ARGUMENTS]

    def test_the_same_call_id_in_another_run_is_another_call(
        self, service: Service, server: Server, tool: Tool
    ) -> None:
        self.run(server.url, tool, run_id="run-1")
        self.run(server.url, tool, run_id="run-2")
        assert tool.calls == [ARGUMENTS, ARGUMENTS]
        assert len({asked["key"] for asked in service.authorized}) == 2

    def test_parallel_runs_of_the_same_call_run_the_tool_once(
        self, service: Service, server: Server, tool: Tool
    ) -> None:
        both = threading.Barrier(2, timeout=60)
        service.on_ask = both.wait
        said: list[str] = []
        runs = [threading.Thread(target=lambda: said.append(self.run(server.url, tool))) for _ in range(2)]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
        assert tool.calls == [ARGUMENTS]
        assert sorted("transferred" in one for one in said) == [False, True]

    def test_a_run_that_is_cancelled_while_its_tool_runs_is_reported_as_unknown(
        self, service: Service, server: Server, tool: Tool
    ) -> None:
        if not self.framework.asynchronous:
            tool.error = KeyboardInterrupt()
            with pytest.raises(KeyboardInterrupt):
                self.run(server.url, tool)
        else:
            tool.waits = True
            self._cancel(server, tool, tool.running, lambda: bool(service.reports))
        assert tool.calls == [ARGUMENTS]
        assert service.reports == [executions.OUTCOME_UNKNOWN]

    def _cancel(self, server: Server, tool: Tool, when: threading.Event, ended: Callable[[], bool]) -> None:
        async def work() -> None:
            with DataCrawl(server.url, API_KEY, timeout=30) as dc:
                task = asyncio.create_task(self.framework.run(dc, tool))
                while not when.is_set():
                    await asyncio.sleep(0.01)
                    assert not task.done(), task.result()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                # A framework may leave the tool's task behind.
                until = time.monotonic() + 60
                while not ended() and time.monotonic() < until:
                    await asyncio.sleep(0.01)

        asyncio.run(work())

    def self_test(self, url: str, **options: Any) -> None:
        async def work() -> None:
            with DataCrawl(url, API_KEY, timeout=30) as dc:
                await self.framework.self_test(dc, **options)

        asyncio.run(work())

    def test_the_self_test_passes_where_its_tool_is_denied(self, service: Service, server: Server) -> None:
        self.self_test(server.url)
        assert [asked["tool"] for asked in service.authorized] == ["datacrawl_self_test"]

    def test_the_self_test_raises_if_its_tool_is_allowed(self, service: Service, server: Server) -> None:
        with pytest.raises(SelfTestError, match="bank_wipe ran"):
            self.self_test(server.url, tool="bank_wipe")

    def test_the_self_test_raises_if_the_service_cannot_be_asked(self, service: Service, server: Server) -> None:
        service.says = "unavailable"
        with pytest.raises(SelfTestError, match="SERVICE_UNAVAILABLE"):
            self.self_test(server.url)

    @pytest.mark.skipif(URL == "", reason="there is no service: test/clients/python-integrations.test.ts starts one")
    def test_the_real_service_allows_once_and_denies(self, tool: Tool) -> None:
        async def work() -> list[str]:
            with DataCrawl(URL, KEY, timeout=30) as dc:
                run_id = f"run-{uuid.uuid4()}"
                email = {"to": ["ann@example.com"], "subject": "Hi", "body": "Hello"}
                options: dict[str, Any] = {
                    "run_id": run_id,
                    "tool_name": lambda call: "gmail.send_email",
                    "payload": lambda call: email,
                }
                first = await self.framework.run(dc, tool, **options)
                again = await self.framework.run(dc, tool, **options)
                denied = await self.framework.run(dc, tool, run_id=f"{run_id}-2")
                await self.framework.self_test(dc)
                return [first, again, denied]

        first, again, denied = asyncio.run(work())
        assert "transferred" in first
        assert "It has succeeded." in again
        assert "NO_MATCHING_RULE" in denied
        assert tool.calls == [ARGUMENTS]


class Cancelled(Situations):
    """And of asynchronous runs."""

    def test_a_run_that_is_cancelled_while_it_waits_for_people_does_not_run_its_tool(
        self, service: Service, server: Server, tool: Tool
    ) -> None:
        service.says = "needs_review"
        asked = threading.Event()
        service.on_ask = asked.set
        self._cancel(server, tool, asked, lambda: True)
        assert tool.calls == []
        assert service.reports == []


class Variants(Situations):
    """And what the shared judgement does alike for each framework."""

    def test_both_clients_serve_the_adapter(self, service: Service, server: Server, tool: Tool) -> None:
        async def work() -> str:
            async with AsyncDataCrawl(server.url, API_KEY, timeout=30) as dc:
                return await self.framework.run(dc, tool)

        assert "transferred" in asyncio.run(work())
        assert tool.calls == [ARGUMENTS]

    def test_the_text_for_the_model_can_be_chosen(self, service: Service, server: Server, tool: Tool) -> None:
        service.says = "deny"
        said = self.run(server.url, tool, explain=lambda refusal: f"no: {refusal.reason}")
        assert "no: RULE_DENIED" in said
        assert "Not at night." not in said
        assert tool.calls == []

    def test_a_review_is_not_waited_for_where_that_is_chosen(
        self, service: Service, server: Server, tool: Tool
    ) -> None:
        service.says = "needs_review"
        assert "REVIEW_PENDING" in self.run(server.url, tool, review_timeout=0)
        assert {asked.method for asked in server.asked} == {"Authorize"}
        assert tool.calls == []

    @pytest.mark.parametrize("says", ["unavailable", "drops", "unknown decision", "refuses to start"])
    def test_no_tool_runs_on_any_other_answer(self, service: Service, server: Server, tool: Tool, says: str) -> None:
        service.says = says
        said = self.run(server.url, tool)
        assert "did not run" in said
        assert tool.calls == []

    @pytest.mark.parametrize("option", ["tool_name", "payload", "principal", "session_id"])
    def test_no_tool_runs_if_an_option_raises(
        self, service: Service, server: Server, tool: Tool, option: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(call: Any) -> Any:
            raise RuntimeError("the option is broken")

        options: dict[str, Any] = {option: broken}
        said = self.run(server.url, tool, **options)
        assert "ADAPTER_ERROR" in said
        assert "the option is broken" not in said
        assert "the option is broken" in caplog.text
        assert tool.calls == []
        assert service.authorized == []

    def test_no_tool_runs_under_a_key_that_is_not_text(self, service: Service, server: Server, tool: Tool) -> None:
        assert "ADAPTER_ERROR" in self.run(server.url, tool, key=lambda call: None)
        assert tool.calls == []
        assert service.authorized == []

    def test_a_call_runs_again_without_once(self, service: Service, server: Server, tool: Tool) -> None:
        self.run(server.url, tool, once=False)
        self.run(server.url, tool, once=False)
        assert tool.calls == [ARGUMENTS, ARGUMENTS]
        assert {asked.method for asked in server.asked} == {"Authorize"}

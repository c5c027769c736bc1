"""Starts, reports and protected functions."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Any

import pytest
from conftest import Both
from server import API_KEY, Asked, allow, answer, reported, serving, start, watched

from datacrawl import (
    AlreadyStarted,
    AlreadyStartedError,
    AsyncDataCrawl,
    DataCrawl,
    DeniedError,
    NotRecorded,
    NotStartedError,
    Recorded,
    StartRefused,
    Verdict,
)
from datacrawl.authz.v1 import decision_pb2 as decisions
from datacrawl.authz.v1 import execution_pb2 as executions
from datacrawl.testing import AsyncFakeDataCrawl, FakeDataCrawl, FakeReport, FakeRequest

UNAVAILABLE = 14
REVIEW = {"decision": decisions.DECISION_NEEDS_REVIEW, "reason": decisions.REASON_REVIEW_PENDING}
DENIED = {"decision": decisions.DECISION_DENY, "reason": decisions.REASON_RULE_DENIED}


def test_starts_and_reports(client: Both) -> None:
    with serving(allow) as server:
        dc = client(server.url, API_KEY)
        verdict = dc.authorize(tool="mail")
        execution = dc.begin(verdict)
        assert execution.state == "started"
        assert execution.decision_id == verdict.decision_id
        ended = dc.report(execution, "failed", error_code="HTTP_503", duration=1.5, summary="it bounced")
        assert isinstance(ended, Recorded)
        report = server.asked[-1].request
        assert (report.execution_id, report.outcome) == (execution.execution_id, executions.OUTCOME_FAILED)
        assert (report.error_code, report.duration_ms, report.summary) == ("HTTP_503", 1500, "it bounced")


def test_all_attempts_of_a_start_have_one_nonce(client: Both) -> None:
    def respond(asked: Asked) -> None:
        if asked.method == "BeginExecution" and len(server.asked) < 4:
            asked.drop()
        else:
            allow(asked)

    with serving(respond) as server:
        dc = client(server.url, API_KEY)
        first, second = dc.authorize(tool="mail"), None
        assert dc.begin(first).state == "started"
        begins = [asked.request.nonce for asked in server.asked if asked.method == "BeginExecution"]
        assert len(begins) == 3
        assert len(set(begins)) == 1
        second = dc.begin(first)
        assert second.state == "started"
        assert server.asked[-1].request.nonce not in begins


@pytest.mark.parametrize(
    "fields",
    [
        {"state": 3},
        {"state": 0},
        {"decision_id": str(uuid.uuid4())},
        {"nonce": bytes(16)},
        {"agent_id": "other"},
        {"execution_id": ""},
        {"execution_id": "7"},
        {"state": executions.EXECUTION_STATE_ALREADY_STARTED},
        {"started_by": ""},
        {"reason": executions.EXECUTION_REFUSAL_EXPIRED},
        {"source": decisions.SOURCE_GUARD},
        {"outcome": executions.OUTCOME_SUCCEEDED},
    ],
    ids=str,
)
def test_an_answer_that_is_not_the_right_one_starts_nothing(client: Both, fields: dict[str, Any]) -> None:
    def respond(asked: Asked) -> None:
        allow(asked) if asked.method == "Authorize" else asked.reply(start(asked, **fields))

    with serving(respond) as server:
        dc = client(server.url, API_KEY)
        refused = dc.begin(dc.authorize(tool="mail"))
        assert isinstance(refused, StartRefused)
        assert (refused.reason, refused.source) == ("MALFORMED_RESPONSE", "guard")


def test_a_start_that_has_ended_is_not_run(client: Both) -> None:
    def respond(asked: Asked) -> None:
        if asked.method == "Authorize":
            allow(asked)
            return
        resolved = start(asked, outcome=executions.OUTCOME_FAILED)
        resolved.ended_at.GetCurrentTime()
        asked.reply(resolved)

    with serving(respond) as server:
        dc = client(server.url, API_KEY)
        before = dc.begin(dc.authorize(tool="mail"))
        assert (before.state, before.outcome) == ("already_started", "failed")


def test_begin_asks_nothing_without_an_allow(client: Both) -> None:
    with serving(lambda asked: asked.reply(answer(asked, **DENIED))) as server:
        dc = client(server.url, API_KEY)
        denied = dc.authorize(tool="mail")
        assert dc.begin(denied).state == "refused"
        assert dc.begin(None).state == "refused"
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("outcome", "options"),
    [
        ("done", {}),
        (None, {}),
        ("failed", {"error_code": "x" * 129}),
        ("failed", {"error_code": "a\n"}),
        ("failed", {"summary": "\0"}),
        ("failed", {"summary": "\ud800"}),
        ("failed", {"duration": -1}),
        ("failed", {"duration": float("nan")}),
        ("failed", {"timeout": 0}),
    ],
)
def test_a_report_that_breaks_the_contract_is_not_sent(client: Both, outcome: Any, options: dict[str, Any]) -> None:
    with serving(allow) as server:
        dc = client(server.url, API_KEY)
        execution = dc.begin(dc.authorize(tool="mail"))
        refused = dc.report(execution, outcome, **options)
        assert isinstance(refused, NotRecorded)
        assert (refused.reason, refused.code) == ("REQUEST_REFUSED", "BAD_REQUEST")
        assert len(server.asked) == 2


def test_a_report_of_nothing_and_of_another_execution_is_not_recorded(client: Both) -> None:
    def respond(asked: Asked) -> None:
        if asked.method == "ReportOutcome":
            asked.reply(reported(asked, outcome=executions.OUTCOME_UNKNOWN))
        else:
            allow(asked)

    with serving(respond) as server:
        dc = client(server.url, API_KEY)
        execution = dc.begin(dc.authorize(tool="mail"))
        assert dc.report(execution, "failed").reason == "MALFORMED_RESPONSE"
        assert dc.report(dc.begin(None), "failed").reason == "REQUEST_REFUSED"


class Ran(Exception):
    code = "HTTP_503"


def test_protect_asks_starts_runs_and_reports() -> None:
    with serving(allow) as server, DataCrawl(server.url, API_KEY) as dc:

        @dc.protect("gmail.send_email", key=lambda message_id: f"send-{message_id}", principal=lambda to, **rest: to)
        def send(to: str, message_id: int, *, cc: list[str] | None = None) -> str:
            """Sends."""
            return f"sent to {to}"

        assert send("ann", message_id=7) == "sent to ann"
        assert (send.__name__, send.__doc__) == ("send", "Sends.")
        asked, begun, ended = server.asked
        assert (asked.request.tool, asked.request.idempotency_key) == ("gmail.send_email", "send-7")
        assert asked.request.principal == "ann"
        assert dict(asked.request.payload.items()) == {"to": "ann", "message_id": 7, "cc": None}
        assert begun.method == "BeginExecution"
        assert ended.request.outcome == executions.OUTCOME_SUCCEEDED


def test_protect_reports_what_the_function_raises_by_its_code() -> None:
    with serving(allow) as server, DataCrawl(server.url, API_KEY) as dc:

        @dc.protect("mail")
        def send(secret: str) -> None:
            raise Ran("the secret is " + secret)

        with pytest.raises(Ran):
            send("s3cret")
        report = server.asked[-1].request
        assert (report.outcome, report.error_code, report.summary) == (executions.OUTCOME_FAILED, "HTTP_503", "")


@pytest.mark.parametrize("error", [TimeoutError, KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_a_function_that_was_broken_off_is_reported_as_unknown(error: type[BaseException]) -> None:
    with serving(allow) as server, DataCrawl(server.url, API_KEY) as dc:

        @dc.protect("mail")
        def send() -> None:
            raise error

        with pytest.raises(error):
            send()
        assert server.asked[-1].request.outcome == executions.OUTCOME_UNKNOWN


def test_a_cancelled_coroutine_is_reported_as_unknown_and_stays_cancelled() -> None:
    async def work(url: str) -> None:
        async with AsyncDataCrawl(url, API_KEY) as dc:
            running = asyncio.Event()

            @dc.protect("mail")
            async def send() -> None:
                running.set()
                await asyncio.sleep(60)

            task = asyncio.create_task(send())
            await running.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with serving(allow) as server:
        asyncio.run(work(server.url))
        assert server.asked[-1].request.outcome == executions.OUTCOME_UNKNOWN


def test_protect_passes_the_values_that_were_allowed() -> None:
    seen: list[Any] = []
    recipients = ["ann"]

    def respond(asked: Asked) -> None:
        recipients.append("eve")
        allow(asked)

    with serving(respond) as server, DataCrawl(server.url, API_KEY) as dc:

        @dc.protect("mail")
        def send(to: list[str], *more: int, **named: str) -> None:
            seen.append((to, more, named))

        send(recipients, 1, 2, subject="Hi")
        assert seen == [(["ann"], (1, 2), {"subject": "Hi"})]


def test_protect_does_not_run_what_is_denied_refused_or_started_before() -> None:
    ran: list[int] = []
    with serving(allow) as server, DataCrawl(server.url, API_KEY) as dc:

        @dc.protect("mail")
        def send() -> None:
            ran.append(1)

        server.respond = lambda asked: asked.reply(answer(asked, **DENIED))
        with pytest.raises(DeniedError) as denied:
            send()
        assert denied.value.verdict.reason == "RULE_DENIED"
        server.respond = lambda asked: asked.reply(answer(asked, **REVIEW))
        with pytest.raises(DeniedError):
            send()

        refusal = {
            "state": executions.EXECUTION_STATE_REFUSED,
            "reason": executions.EXECUTION_REFUSAL_AGENT_FROZEN,
            "execution_id": "",
            "started_by": "",
        }
        server.respond = lambda asked: (
            allow(asked) if asked.method == "Authorize" else asked.reply(start(asked, **refusal))
        )
        with pytest.raises(NotStartedError) as not_started:
            send()
        assert not_started.value.start.reason == "AGENT_FROZEN"

        before = {"state": executions.EXECUTION_STATE_ALREADY_STARTED, "execution_id": ""}
        server.respond = lambda asked: (
            allow(asked) if asked.method == "Authorize" else asked.reply(start(asked, **before))
        )
        with pytest.raises(AlreadyStartedError) as already:
            send()
        assert isinstance(already.value.execution, AlreadyStarted)
        assert already.value.execution.outcome is None
    assert ran == []


def test_protect_runs_again_where_that_is_chosen() -> None:
    ran: list[int] = []
    before = {"state": executions.EXECUTION_STATE_ALREADY_STARTED, "execution_id": ""}
    with serving(allow) as server, DataCrawl(server.url, API_KEY) as dc:
        server.respond = lambda asked: (
            allow(asked) if asked.method == "Authorize" else asked.reply(start(asked, **before))
        )
        dc.protect("mail", on_already_started="run")(lambda: ran.append(1))()
        dc.protect("mail", once=False)(lambda: ran.append(2))()
        assert ran == [1, 2]
        assert [asked.method for asked in server.asked] == ["Authorize", "BeginExecution", "Authorize"]


def test_protect_waits_for_people_where_that_is_chosen() -> None:
    with serving(allow) as server, DataCrawl(server.url, API_KEY) as dc:

        def respond(asked: Asked) -> None:
            asked.reply(answer(asked, **REVIEW)) if asked.method == "Authorize" else allow(asked)

        server.respond = respond
        assert dc.protect("mail", on_review="wait", review_timeout=5)(lambda: "ran")() == "ran"
        assert [asked.method for asked in server.asked] == [
            "Authorize",
            "WatchDecision",
            "BeginExecution",
            "ReportOutcome",
        ]


def test_protect_denies_arguments_that_are_not_json_and_takes_a_payload_for_them() -> None:
    class Mailbox:
        pass

    with serving(allow) as server, DataCrawl(server.url, API_KEY) as dc:
        mailbox = Mailbox()
        with pytest.raises(DeniedError, match="Mailbox"):
            dc.protect("mail", key=lambda *_: "k")(lambda box, to: to)(mailbox, "ann")
        assert server.asked == []
        for payload in (lambda to: {"to": to}, lambda _, to: {"to": to}, lambda *both: {"to": both[1]}):
            assert dc.protect("mail", payload=payload)(lambda box, to: (box, to))(mailbox, to="ann") == (mailbox, "ann")
            assert dict(server.asked[-3].request.payload.items()) == {"to": "ann"}


def test_protect_keeps_coroutines_and_refuses_generators() -> None:
    with serving(allow) as server:
        dc, adc = DataCrawl(server.url, API_KEY), AsyncDataCrawl(server.url, API_KEY)

        async def coroutine(n: int) -> int:
            return n

        async def work() -> list[Any]:
            return [
                await dc.protect("mail")(coroutine)(1),
                await adc.protect("mail")(coroutine)(2),
                await adc.protect("mail")(lambda: 3)(),  # type: ignore[misc]
            ]

        assert asyncio.run(work()) == [1, 2, 3]
        assert [asked.method for asked in server.asked] == ["Authorize", "BeginExecution", "ReportOutcome"] * 3

        def generator() -> Any:
            yield 1

        async def async_generator() -> Any:
            yield 1

        for function in (generator, async_generator):
            with pytest.raises(TypeError, match="generator"):
                dc.protect("mail")(function)
        dc.close()
        asyncio.run(adc.close())


def test_protect_refuses_options_that_mean_nothing() -> None:
    dc: Any = FakeDataCrawl()
    for options in ({"on_review": "ask"}, {"on_already_started": "skip"}, {"once": "yes"}):
        with pytest.raises(TypeError, match="must be"):
            dc.protect("mail", **options)(print)


def test_an_outcome_that_was_not_recorded_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def respond(asked: Asked) -> None:
        asked.fail(UNAVAILABLE) if asked.method == "ReportOutcome" else allow(asked)

    with (
        serving(respond) as server,
        DataCrawl(server.url, API_KEY) as dc,
        caplog.at_level(logging.WARNING, "datacrawl"),
    ):
        assert dc.protect("mail")(lambda: "ran")() == "ran"
        assert "was not recorded (SERVICE_UNAVAILABLE)" in caplog.text
        assert dc.circuit.consecutive_failures == 0


def pending(dc: Any) -> Verdict:
    verdict: Verdict = dc.authorize(tool="mail")
    return verdict


def test_waits_for_a_review_over_streams_that_break(client: Both) -> None:
    def respond(asked: Asked) -> None:
        if len(server.asked) == 1:
            asked.drop()
        elif len(server.asked) == 2:
            asked.reply(watched(asked))
        else:
            approved = {"decision": decisions.DECISION_ALLOW, "reason": decisions.REASON_REVIEW_APPROVED}
            asked.reply(watched(asked), watched(asked, **approved))

    with serving(respond) as server:
        decision_id = str(uuid.uuid4())
        verdict = client(server.url, API_KEY).wait_for_review(decision_id, timeout=20)
        assert (verdict.decision, verdict.reason, verdict.decision_id) == ("allow", "REVIEW_APPROVED", decision_id)
        assert len({asked.request.nonce for asked in server.asked}) == 3


def test_waiting_ends_with_its_timeout(client: Both) -> None:
    with serving(lambda asked: asked.reply(watched(asked))) as server:
        dc = client(server.url, API_KEY)
        verdict = dc.wait_for_review(str(uuid.uuid4()), timeout=0.6)
        assert (verdict.decision, verdict.source) == ("needs_review", "service")
        server.respond = lambda asked: asked.fail(UNAVAILABLE)
        assert dc.wait_for_review(str(uuid.uuid4()), timeout=0.6).reason == "SERVICE_UNAVAILABLE"
        server.respond = lambda asked: asked.fail(16)
        assert dc.wait_for_review(str(uuid.uuid4()), timeout=60).code == "BAD_CREDENTIAL"
        assert dc.circuit.consecutive_failures == 0


@pytest.mark.parametrize(
    "second",
    [{}, {"nonce": bytes(16)}, {"decision_id": str(uuid.uuid4())}, {"reason": decisions.REASON_RULE_DENIED}],
    ids=str,
)
def test_every_message_of_a_stream_must_be_right(client: Both, second: dict[str, Any]) -> None:
    approved = {"decision": decisions.DECISION_ALLOW, "reason": decisions.REASON_REVIEW_APPROVED}

    def respond(asked: Asked) -> None:
        # After an allow nothing may follow, however right it is.
        asked.reply(watched(asked, **approved), watched(asked, **{**approved, **second}))

    with serving(respond) as server:
        verdict = client(server.url, API_KEY).wait_for_review(str(uuid.uuid4()), timeout=0.5)
        assert (verdict.decision, verdict.reason) == ("deny", "MALFORMED_RESPONSE")


@pytest.mark.parametrize("decision_id", ["", "7", None, 7, "X" * 36])
def test_what_is_not_a_decision_is_not_watched(client: Both, decision_id: Any) -> None:
    with serving(allow) as server:
        dc = client(server.url, API_KEY)
        assert dc.wait_for_review(decision_id).code == "BAD_REQUEST"
        assert dc.wait_for_review(str(uuid.uuid4()), timeout=0).code == "BAD_REQUEST"
        assert server.asked == []


def test_the_fake_denies_by_default_and_starts_each_key_once() -> None:
    dc = FakeDataCrawl({"mail": "allow", "refund": lambda payload: "allow" if payload["amount"] <= 100 else "deny"})
    assert not dc.authorize(tool="shell").allowed
    assert dc.authorize(tool="refund", payload={"amount": 100}).allowed
    assert not dc.authorize(tool="refund", payload={"amount": 101}).allowed
    assert dc.authorize(tool="mail", payload={"n": float("nan")}).code == "BAD_REQUEST"

    @dc.protect("mail", key=lambda to: to)
    def send(to: str) -> str:
        return f"sent to {to}"

    assert send("ann") == "sent to ann"
    with pytest.raises(AlreadyStartedError):
        send("ann")
    assert dc.requests[-1] == FakeRequest("mail", {"to": "ann"}, "ann")
    assert [report.outcome for report in dc.reports] == ["succeeded"]
    assert isinstance(dc.reports[0], FakeReport)


def test_the_fake_resolves_reviews() -> None:
    async def work() -> None:
        async with AsyncFakeDataCrawl({"mail": "needs_review"}) as dc:
            asked = await dc.authorize(tool="mail")
            assert (await dc.wait_for_review(asked.decision_id)).decision == "needs_review"
            dc.resolve_review(asked.decision_id, "allow")
            approved = await dc.wait_for_review(asked.decision_id)
            assert approved.allowed
            assert (await dc.begin(approved)).state == "started"
            assert (await dc.begin(approved)).state == "already_started"
            assert not (await dc.wait_for_review("other")).allowed
            with pytest.raises(KeyError):
                dc.resolve_review("other", "allow")

    asyncio.run(work())

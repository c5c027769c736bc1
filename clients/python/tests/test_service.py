"""Against the real service and a sidecar, which test/clients/python.test.ts starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest
from conftest import Both

from datacrawl import AlreadyStartedError, DataCrawl

URL = os.environ.get("DATACRAWL_TEST_URL", "")
KEY = os.environ.get("DATACRAWL_TEST_KEY", "")
SIDECARS = [os.environ.get("DATACRAWL_TEST_SIDECAR", ""), os.environ.get("DATACRAWL_TEST_SIDECAR_SOCKET", "")]
LONELY = os.environ.get("DATACRAWL_TEST_LONELY_SIDECAR", "")
"""A sidecar whose service is away."""

pytestmark = pytest.mark.skipif(
    URL == "", reason="there is no service: npx vitest run test/clients/python.test.ts starts one"
)

INSIDE = {"to": ["ann@example.com"], "subject": "Hi", "body": "Hello"}
OUTSIDE = {**INSIDE, "to": ["eve@elsewhere.org"]}


def unique() -> str:
    return f"python-{uuid.uuid4()}"


def test_is_allowed_denied_and_sent_to_people(client: Both) -> None:
    dc = client(URL, KEY)
    allowed = dc.authorize(tool="gmail.send_email", payload=INSIDE, idempotency_key=unique())
    assert (allowed.decision, allowed.reason, allowed.source) == ("allow", "RULE_ALLOWED", "service")
    assert dc.authorize(tool="no.such_tool").reason == "NO_MATCHING_RULE"
    review = dc.authorize(tool="gmail.send_email", payload=OUTSIDE, idempotency_key=unique())
    assert (review.decision, review.allowed) == ("needs_review", False)


def test_the_same_key_has_the_same_decision(client: Both) -> None:
    dc, key = client(URL, KEY), unique()
    first = dc.authorize(tool="gmail.send_email", payload=INSIDE, idempotency_key=key)
    again = dc.authorize(tool="gmail.send_email", payload=INSIDE, idempotency_key=key)
    assert (again.decision_id, again.replayed) == (first.decision_id, True)
    assert (
        dc.authorize(tool="gmail.send_email", payload=OUTSIDE, idempotency_key=key).reason == "IDEMPOTENCY_KEY_REUSED"
    )


def test_the_derived_key_is_the_same_everywhere(client: Both) -> None:
    payload = {**INSIDE, "subject": unique(), "number": 1e-7, "é": "\U0001f600"}
    first = client(URL, KEY).authorize(tool="gmail.send_email", payload=payload)
    again = client(sidecar=SIDECARS[0], agent_id="demo").authorize(tool="gmail.send_email", payload=payload)
    assert (again.decision_id, again.replayed) == (first.decision_id, True)
    assert again.idempotency_key == first.idempotency_key


def test_waits_until_people_have_approved(client: Both) -> None:
    dc = client(URL, KEY)
    review = dc.authorize(tool="gmail.send_email", payload=OUTSIDE, idempotency_key=unique())
    approved = dc.wait_for_review(review.decision_id, timeout=60)
    assert (approved.decision, approved.reason, approved.decision_id) == (
        "allow",
        "REVIEW_APPROVED",
        review.decision_id,
    )
    execution = dc.begin(approved)
    assert execution.state == "started"
    assert dc.report(execution, "succeeded", duration=0.1).state == "recorded"
    assert dc.report(execution, "succeeded", duration=0.1).replayed
    assert dc.report(execution, "failed").state == "not_recorded"


def test_an_action_runs_once_in_all_processes() -> None:
    script = textwrap.dedent(
        """
        import sys
        from datacrawl import AlreadyStartedError, DataCrawl
        dc = DataCrawl(sys.argv[1], sys.argv[2], timeout=30)
        send = dc.protect("gmail.send_email", key=lambda: sys.argv[3], payload=lambda: {"to": ["ann@example.com"]})(lambda: "ran")
        try:
            print(send())
        except AlreadyStartedError:
            print("started before")
        """
    )
    key = unique()
    processes = [
        subprocess.Popen([sys.executable, "-c", script, URL, KEY, key], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert said == ["ran", "started before", "started before", "started before"]


@pytest.mark.parametrize(("dies", "mails"), [("before", 0), ("after", 1)])
def test_an_agent_that_is_killed_around_its_mail_sends_no_second_one(tmp_path: Path, dies: str, mails: int) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys
        from datacrawl import AlreadyStartedError, DataCrawl
        url, key, name, mailbox, dies = sys.argv[1:]
        def send():
            if dies == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            with open(mailbox, "a") as file:
                file.write("mail\\n")
                file.flush()
                if dies == "after":
                    os.kill(os.getpid(), signal.SIGKILL)
        dc = DataCrawl(url, key, timeout=30)
        try:
            dc.protect("gmail.send_email", key=lambda: name, payload=lambda: {"to": ["ann@example.com"]})(send)()
            print("ran")
        except AlreadyStartedError as error:
            print("started before,", error.execution.outcome)
        """
    )
    key, mailbox = unique(), tmp_path / "mailbox"
    mailbox.touch()

    def run(when: str) -> tuple[int, str]:
        arguments = [sys.executable, "-c", script, URL, KEY, key, str(mailbox), when]
        done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
        return done.returncode, done.stdout.strip()

    assert run(dies) == (-signal.SIGKILL, "")
    assert [run("never"), run("never")] == [(0, "started before, None")] * 2
    assert mailbox.read_text() == "mail\n" * mails


def test_an_unknown_key_is_refused(client: Both) -> None:
    verdict = client(URL, f"dc_agent_demo_{'0' * 12}_{'0' * 64}").authorize(tool="gmail.send_email")
    assert (verdict.decision, verdict.reason, verdict.code) == ("deny", "REQUEST_REFUSED", "BAD_CREDENTIAL")


@pytest.mark.parametrize("sidecar", SIDECARS, ids=["an address", "a Unix socket"])
def test_a_sidecar_is_one_setting_away(client: Both, sidecar: str) -> None:
    dc = client(sidecar=sidecar)
    verdict = dc.authorize(tool="gmail.send_email", payload=INSIDE, idempotency_key=unique())
    assert (verdict.decision, verdict.source) == ("allow", "service")
    assert dc.report(dc.begin(verdict), "succeeded").state == "recorded"
    assert dc.begin(verdict).outcome == "succeeded"
    review = dc.authorize(tool="gmail.send_email", payload=OUTSIDE, idempotency_key=unique())
    assert dc.wait_for_review(review.decision_id, timeout=60).allowed


def test_a_sidecar_without_a_service_denies_for_it(client: Both) -> None:
    dc = client(sidecar=LONELY)
    reasons = [dc.authorize(tool="gmail.send_email", payload=INSIDE, idempotency_key=unique()) for _ in range(3)]
    assert {(verdict.decision, verdict.source) for verdict in reasons} == {("deny", "guard")}
    assert reasons[-1].reason == "CIRCUIT_OPEN"
    # The sidecar's circuit is open; the client's is not, because the sidecar has answered.
    assert dc.circuit.state == "closed"


def test_a_protected_function_runs_once() -> None:
    with DataCrawl(URL, KEY) as dc:
        key = unique()

        @dc.protect("gmail.send_email", key=lambda: key)
        def send(to: list[str], subject: str = "Hi", body: str = "Hello") -> str:
            return f"sent to {to[0]}"

        assert send(["ann@example.com"]) == "sent to ann@example.com"
        with pytest.raises(AlreadyStartedError) as already:
            send(["ann@example.com"])
        assert already.value.execution.outcome == "succeeded"

"""The client under the conformance kit: JSON lines in, JSON lines out (docs/conformance.md).

    datacrawl conformance run --client "python3 clients/python/tests/conformance_adapter.py"

With `--async` it is `AsyncDataCrawl`. Behind test/clients/through-sidecar-adapter.ts it asks the question's sidecar.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from datetime import datetime, timezone
from typing import Any

from datacrawl import AsyncDataCrawl, DataCrawl, Start, Verdict

# The cases test how answers are read; an open circuit would read none.
NEVER = 1_000_000


class Adapter:
    def __init__(self, asynchronous: bool) -> None:
        self._asynchronous = asynchronous
        self._clients: dict[str, Any] = {}

    def answer(self, question: dict[str, Any]) -> tuple[str, str, str]:
        client = self._client(question)
        if question.get("method") == "BeginExecution":
            return started(client.begin(allow_of(question["decisionId"])))
        verdict: Verdict = client.authorize(
            tool=question["tool"], payload=question["payload"], idempotency_key=question["idempotencyKey"]
        )
        return verdict.decision, verdict.reason, verdict.message

    def _client(self, question: dict[str, Any]) -> Any:
        sidecar, url = question.get("sidecar"), question["url"]
        if url not in self._clients:
            options: dict[str, Any] = {"timeout": question["deadlineMs"] / 1000, "circuit_failures": NEVER}
            if sidecar is None:
                options |= {"url": url, "api_key": question["apiKey"], "ca_file": question["caFile"]}
            else:
                options["sidecar"] = sidecar
            self._clients[url] = Blocking(AsyncDataCrawl(**options)) if self._asynchronous else DataCrawl(**options)
        return self._clients[url]


class Blocking:
    """An AsyncDataCrawl, each call in the same loop."""

    loop = asyncio.new_event_loop()

    def __init__(self, client: AsyncDataCrawl) -> None:
        self._client = client

    def authorize(self, **request: Any) -> Verdict:
        return self.loop.run_until_complete(self._client.authorize(**request))

    def begin(self, verdict: Verdict) -> Start:
        return self.loop.run_until_complete(self._client.begin(verdict))


def started(start: Start) -> tuple[str, str, str]:
    """A caller runs the tool if its start is started, and for no other state."""
    if start.state == "started":
        return "allow", "STARTED", start.message
    return "deny", start.reason if start.state == "refused" else "ALREADY_STARTED", start.message


def allow_of(decision_id: str) -> Verdict:
    return Verdict("allow", "RULE_ALLOWED", "", decision_id, "tool", "key", "service", datetime.now(timezone.utc))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--async", dest="asynchronous", action="store_true")
    adapter = Adapter(parser.parse_args().asynchronous)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        start = time.perf_counter()
        decision, reason, message = adapter.answer(question)
        elapsed = (time.perf_counter() - start) * 1000
        answer = {"case": question["case"], "decision": decision, "reason": reason, "message": message}
        print(json.dumps({**answer, "elapsedMs": elapsed}), flush=True)


if __name__ == "__main__":
    main()

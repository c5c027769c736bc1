"""A bare client of DataCrawl's JSON over HTTP, as an adapter for `datacrawl conformance run` (docs/conformance.md).

    datacrawl conformance run --transport connect-json --client "python3 clients/python-conformance/bare_json.py"

It needs nothing but Python 3.9. It is what many would write first, and a start for an adapter around a real client; it
is no guard: it passes no nonce and compares no echo.
"""

import json
import ssl
import sys
import time
import urllib.request


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """The question was put to one address; no other may answer it."""

    def redirect_request(self, *args):
        return None


def ask(question):
    deadline = question["deadlineMs"] / 1000
    request = urllib.request.Request(
        question["url"] + "/datacrawl.authz.v1.AuthorizeService/Authorize",
        data=json.dumps(
            {
                "tool": question["tool"],
                "payload": question["payload"],
                "idempotencyKey": question["idempotencyKey"],
            }
        ).encode(),
        headers={
            "authorization": "Bearer " + question["apiKey"],
            "content-type": "application/json",
            "connect-protocol-version": "1",
            "connect-timeout-ms": str(question["deadlineMs"]),
        },
    )
    https = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=question["caFile"]))
    opener = urllib.request.build_opener(NoRedirect, https, urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=deadline) as response:
        if response.status != 200:
            return "deny"
        decision = json.loads(response.read())["decision"]
    # The one place where an answer becomes permission to act: an equality with allow, never "is not deny".
    if decision == "DECISION_ALLOW":
        return "allow"
    return "needs_review" if decision == "DECISION_NEEDS_REVIEW" else "deny"


def main():
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        started = time.monotonic()
        try:
            decision = ask(question)
        except Exception:  # whatever went wrong, nobody has allowed
            decision = "deny"
        elapsed_ms = (time.monotonic() - started) * 1000
        print(json.dumps({"case": question["case"], "decision": decision, "elapsedMs": elapsed_ms}), flush=True)


main()

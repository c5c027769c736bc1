"""Asks DataCrawl before it acts. Standard library only.

Start the service with `npm start`, then: python3 examples/python/authorize.py
"""
import json
import os
import urllib.error
import urllib.request

URL = os.environ.get("DATACRAWL_URL", "http://127.0.0.1:7441")


def api_key():
    if "DATACRAWL_API_KEY" in os.environ:
        return os.environ["DATACRAWL_API_KEY"]
    with open("data/demo-agent.key", encoding="utf-8") as file:
        return file.read().strip()


def may_i(tool, payload, idempotency_key):
    """True only for an explicit allow: an error, a timeout or an answer that is not understood means no."""
    request = urllib.request.Request(
        f"{URL}/datacrawl.authz.v1.AuthorizeService/Authorize",
        data=json.dumps({"tool": tool, "payload": payload, "idempotencyKey": idempotency_key}).encode(),
        headers={"content-type": "application/json", "authorization": f"Bearer {api_key()}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            answer = json.load(response)
            print(response.status, answer.get("decision"), answer.get("reason"), answer.get("message"))
            return response.status == 200 and answer.get("decision") == "DECISION_ALLOW"
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode(errors="replace"))
    except (OSError, ValueError) as error:
        print("no answer:", error)
    return False


if __name__ == "__main__":
    if may_i("stripe.refund", {"amount": 50, "currency": "EUR"}, "example-refund-1"):
        print("refunding")
    else:
        print("not refunding")

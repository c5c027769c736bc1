"""Asks DataCrawl before it acts.

Start the service with `npm start`, then: pip install ./clients/python && python3 examples/python/authorize.py
"""

import os
from pathlib import Path

from datacrawl import AlreadyStartedError, DataCrawl, DeniedError

API_KEY = os.environ.get("DATACRAWL_API_KEY") or Path("data/demo-agent.key").read_text().strip()

with DataCrawl(api_key=API_KEY, on_verdict=lambda verdict, _: print(verdict.decision, verdict.reason, verdict.message)) as dc:

    # Runs only on an explicit allow, and once: an error, a timeout or an answer that is not understood means no.
    @dc.protect("gmail.send_email", key=lambda: "example-python-1")
    def send_email(to: list[str], subject: str) -> None:
        print("sending the email to", ", ".join(to))

    try:
        send_email(["ann@example.com"], subject="Hi")
    except DeniedError as error:
        print("not sending the email:", error.verdict.reason)
    except AlreadyStartedError as error:
        print("not sending the email again:", error)

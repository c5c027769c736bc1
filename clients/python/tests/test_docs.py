"""Each snippet of the documents runs as it stands: against the real service if there is one, else against a scripted one."""

from __future__ import annotations

import os
import re
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from server import API_KEY, allow, serving

from datacrawl import DataCrawl
from datacrawl.testing import FakeDataCrawl

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = ["docs/clients/python.md", "clients/python/README.md", "README.md"]
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_snippets_run(document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    snippets = SNIPPET.findall((ROOT / document).read_text())
    assert snippets
    with serving(allow) as server:
        monkeypatch.setenv("DATACRAWL_URL", os.environ.get("DATACRAWL_TEST_URL", server.url))
        monkeypatch.setenv("DATACRAWL_API_KEY", os.environ.get("DATACRAWL_TEST_KEY", API_KEY))
        sent: list[Any] = []
        payload = {"to": ["ann@example.com"], "subject": str(uuid.uuid4()), "body": "Hello"}
        names: dict[str, Any] = {"payload": payload, "message_id": uuid.uuid4(), "send_email": sent.append}
        for snippet in snippets:
            # A key of its own for each run: the real service remembers keys for 24 hours.
            source = snippet.replace('f"send-', f'f"{uuid.uuid4()}-').replace('"send-', f'"{uuid.uuid4()}-')
            before = names.get("dc")
            exec(compile(source, document, "exec"), names)
            if isinstance(before, DataCrawl) and names["dc"] is not before:
                names["dc"].close()
                names["dc"] = before
        assert sent, "nothing was sent"
        assert names.get("allowed", True) is True
        if isinstance(names.get("dc"), DataCrawl):
            names["dc"].close()
        # grpcio's, of the bare stub.
        for thread in threading.enumerate():
            if thread.name.startswith("grpc"):
                thread.join(5)


def test_the_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    example = ROOT / "examples/python/authorize.py"
    with serving(allow) as server:
        monkeypatch.setenv("DATACRAWL_URL", server.url)
        monkeypatch.setenv("DATACRAWL_API_KEY", API_KEY)
        exec(compile(example.read_text(), str(example), "exec"), {"__name__": "__main__"})
    assert "sending the email to ann@example.com" in capsys.readouterr().out


def test_the_fake_is_what_the_clients_are() -> None:
    public = {name for name in dir(DataCrawl) if not name.startswith("_")} - {"circuit"}
    assert public <= set(dir(FakeDataCrawl))

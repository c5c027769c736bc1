from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from datacrawl import AsyncDataCrawl, DataCrawl

for name in list(os.environ):
    # What the environment says must not change a test; but for the suite's own variables.
    if name.startswith("DATACRAWL_") and not name.startswith("DATACRAWL_TEST_"):
        del os.environ[name]


class Both:
    """A client, blocking or for asyncio, called alike."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._clients: list[Any] = []

    def __call__(self, *args: Any, **options: Any) -> Caller:
        client: Any = (DataCrawl if self.kind == "sync" else AsyncDataCrawl)(*args, **options)
        self._clients.append(client)
        return Caller(client, self.kind)

    def close(self) -> None:
        for client in self._clients:
            if self.kind == "sync":
                client.close()
            else:
                asyncio.run(client.close())


class Caller:
    def __init__(self, client: Any, kind: str) -> None:
        self.client = client
        self._kind = kind

    @property
    def circuit(self) -> Any:
        return self.client.circuit

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        if self._kind == "sync":
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            async def work() -> Any:
                return await method(*args, **kwargs)

            # Each call in a loop of its own, which is closed when it returns.
            return asyncio.run(work())

        return call


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest) -> Iterator[Both]:
    both = Both(request.param)
    yield both
    both.close()


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves a thread or an open file of the client's."""
    if "integrations" in request.node.path.parts:
        # Frameworks keep threads of their own.
        yield
        return
    threads, files = set(threading.enumerate()), open_files()
    yield
    gc.collect()
    until = time.monotonic() + 5
    while (set(threading.enumerate()) - threads or open_files() > files) and time.monotonic() < until:
        time.sleep(0.02)
    assert [thread.name for thread in threading.enumerate() if thread not in threads] == []
    assert open_files() <= files


@pytest.fixture(autouse=True)
def _no_bug(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """An error that only the last resort caught is denied, and is a bug all the same."""
    yield
    assert [record for record in caplog.get_records("call") if "should not exist" in record.getMessage()] == []


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

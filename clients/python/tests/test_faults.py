"""Each fault denies in time, raises nothing, and leaves neither thread nor socket: the last by conftest.py, for every test."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from conftest import Both
from server import API_KEY, Asked, allow, serving

from datacrawl import AsyncDataCrawl, DataCrawl, Verdict
from datacrawl._grpc import unframe

SLACK = 1.5
"""Seconds by which this machine may be late: far less than what each fault would take without a deadline."""


def timed(call: Callable[[], Verdict], timeout: float) -> Verdict:
    begun = time.monotonic()
    verdict = call()
    assert time.monotonic() - begun < timeout + SLACK
    assert not verdict.allowed
    return verdict


@contextmanager
def talking(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A TCP server that says to each connection what `talk` says."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def accept() -> None:
        while not over.is_set():
            sock, _ = listener.accept()
            with sock, suppress(OSError):
                talk(sock, over)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        with socket.create_connection(listener.getsockname()):
            thread.join(10)
        listener.close()


def test_a_service_that_is_down(client: Both) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    dc = client(url, API_KEY)
    assert timed(lambda: dc.authorize(tool="mail"), 5).reason == "SERVICE_UNAVAILABLE"
    assert dc.circuit.consecutive_failures == 1


def test_a_service_that_accepts_nothing(client: Both) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # Fills the backlog, after which the kernel drops what would connect, as a black hole does.
        with socket.create_connection(full.getsockname()), socket.socket() as waiting:
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
            dc = client(f"http://127.0.0.1:{full.getsockname()[1]}", API_KEY)
            assert timed(lambda: dc.authorize(tool="mail", timeout=0.5), 0.5).reason == "DEADLINE_EXCEEDED"


def test_a_service_that_hangs(client: Both) -> None:
    with serving(Asked.hang) as server:
        dc = client(server.url, API_KEY)
        assert timed(lambda: dc.authorize(tool="mail", timeout=0.3), 0.3).reason == "DEADLINE_EXCEEDED"
        # Less than a second says nothing of the service.
        assert dc.circuit.consecutive_failures == 0


def drip(sock: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.05):
        sock.sendall(b"\0\0\0\4\0\0\0\0\0"[:1])


FOREIGN: dict[str, Callable[[socket.socket, threading.Event], None]] = {
    "HTTP/1.1": lambda sock, over: sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    "garbage": lambda sock, over: sock.sendall(bytes(range(256)) * 20),
    "nothing": lambda sock, over: None,
    "silence": lambda sock, over: silence(over),
    "a drip": drip,
    "SSH": lambda sock, over: sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "endless SETTINGS": lambda sock, over: flood(sock, over, b"\0\0\0\4\0\0\0\0\0"),
    "endless PING": lambda sock, over: flood(sock, over, b"\0\0\0\4\0\0\0\0\0" + b"\0\0\x08\6\0\0\0\0\0" + bytes(8)),
}


def silence(over: threading.Event) -> None:
    over.wait(30)


def flood(sock: socket.socket, over: threading.Event, data: bytes) -> None:
    sock.settimeout(0.2)
    while not over.is_set():
        sock.sendall(data * 100)


@pytest.mark.parametrize("talk", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_port_that_speaks_something_else(client: Both, talk: Any) -> None:
    with talking(talk) as url:
        dc = client(url, API_KEY)
        verdict = timed(lambda: dc.authorize(tool="mail", timeout=0.5), 0.5)
        assert verdict.reason in ("MALFORMED_RESPONSE", "SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED")


def test_a_name_that_does_not_resolve(client: Both) -> None:
    dc = client("https://no-such-host.invalid:7440", API_KEY)
    assert timed(lambda: dc.authorize(tool="mail", timeout=2), 2).reason in ("SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED")


def test_a_resolver_that_hangs(client: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30) and [])
    dc = client("https://slow.invalid:7440", API_KEY)
    assert timed(lambda: dc.authorize(tool="mail", timeout=0.3), 0.3).reason == "DEADLINE_EXCEEDED"
    over.set()


def test_this_machine_needs_no_resolver(client: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(allow) as server, monkeypatch.context() as context:
        context.setattr(socket, "getaddrinfo", lambda *_, **__: 1 / 0)
        assert client(f"http://localhost:{server.port}", API_KEY).authorize(tool="mail", timeout=30).allowed


def test_proxies_of_the_environment_are_never_asked(client: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(allow) as server, serving(allow) as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.upper(), proxy.url)
        assert client(server.url, API_KEY).authorize(tool="mail").allowed
        assert proxy.connections == 0


def test_threads_share_a_client() -> None:
    with serving(allow) as server, DataCrawl(server.url, API_KEY) as dc:
        verdicts: list[Verdict] = []

        def work(thread: int) -> None:
            for n in range(10):
                verdicts.append(dc.authorize(tool="mail", idempotency_key=f"{thread}-{n}", timeout=30))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [verdict.reason for verdict in verdicts if not verdict.allowed] == []
        assert {verdict.idempotency_key for verdict in verdicts} == {
            f"{thread}-{n}" for thread in range(16) for n in range(10)
        }
        assert server.connections <= 16


def test_tasks_share_a_client() -> None:
    async def work(url: str) -> None:
        async with AsyncDataCrawl(url, API_KEY) as dc:
            asked = [dc.authorize(tool="mail", idempotency_key=str(n), timeout=30) for n in range(40)]
            assert all(verdict.allowed for verdict in await asyncio.gather(*asked))

    with serving(allow) as server:
        asyncio.run(work(server.url))


def test_closing_a_client_ends_the_calls_of_other_threads() -> None:
    with serving(Asked.hang) as server:
        dc = DataCrawl(server.url, API_KEY)
        verdicts: list[Verdict] = []
        thread = threading.Thread(target=lambda: verdicts.append(dc.authorize(tool="mail", timeout=60)))
        thread.start()
        while not server.asked:
            time.sleep(0.01)
        dc.close()
        thread.join(20)
        assert [verdict.decision for verdict in verdicts] == ["deny"]


def test_closing_a_client_ends_the_calls_of_other_tasks() -> None:
    async def work(url: str) -> Verdict:
        dc = AsyncDataCrawl(url, API_KEY)
        task = asyncio.create_task(dc.authorize(tool="mail", timeout=60))
        while not server.asked:
            await asyncio.sleep(0.01)
        await dc.close()
        return await asyncio.wait_for(task, 20)

    with serving(Asked.hang) as server:
        assert not asyncio.run(work(server.url)).allowed


def test_cancelling_many_calls_disturbs_no_other() -> None:
    async def work(url: str) -> list[bool]:
        async with AsyncDataCrawl(url, API_KEY) as dc:

            async def cancelled() -> None:
                task = asyncio.create_task(dc.authorize(tool="mail", timeout=60))
                await asyncio.sleep(0.005)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

            async def kept(number: int) -> bool:
                verdict = await dc.authorize(tool="mail", idempotency_key=str(number), timeout=60)
                return verdict.allowed

            rounds = [
                asyncio.gather(*[cancelled() for _ in range(8)], *[kept(8 * n + m) for m in range(8)]) for n in range(4)
            ]
            return [one for found in await asyncio.gather(*rounds) for one in found if one is not None]

    def respond(asked: Asked) -> None:
        asked.closing.wait(0.01)
        allow(asked)

    with serving(respond) as server:
        assert asyncio.run(work(server.url)) == [True] * 32


def test_cancelling_a_task_cancels_its_call_and_counts_nothing() -> None:
    async def work(url: str) -> None:
        async with AsyncDataCrawl(url, API_KEY, circuit_failures=1) as dc:
            task = asyncio.create_task(dc.authorize(tool="mail", timeout=60))
            while not server.asked:
                await asyncio.sleep(0.01)
            task.cancel()
            begun = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - begun < SLACK
            assert (dc.circuit.state, dc.circuit.consecutive_failures) == ("closed", 0)
            server.respond = allow
            assert (await dc.authorize(tool="mail", timeout=30)).allowed

    with serving(Asked.hang) as server:
        asyncio.run(work(server.url))


def test_a_cancelled_probe_does_not_keep_the_circuit_waiting() -> None:
    async def work(url: str) -> None:
        async with AsyncDataCrawl(url, API_KEY, circuit_failures=1, probe_after=0.05) as dc:
            await dc.authorize(tool="mail")
            assert dc.circuit.state == "open"
            await asyncio.sleep(0.06)
            server.respond = Asked.hang
            task = asyncio.create_task(dc.authorize(tool="mail", timeout=60))
            while len(server.asked) == 1:
                await asyncio.sleep(0.001)
            states = [dc.circuit.state]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert [*states, dc.circuit.state] == ["half_open", "open"]

    with serving(lambda asked: asked.fail(13)) as server:
        asyncio.run(work(server.url))


def test_a_client_outlives_its_event_loop() -> None:
    with serving(allow) as server:
        dc = AsyncDataCrawl(server.url, API_KEY)
        for _ in range(3):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(dc.authorize(tool="mail")).allowed
            loop.close()
        assert server.connections == 1
        asyncio.run(dc.close())


def test_an_event_loop_that_was_blocked_gets_a_deny() -> None:
    async def work(url: str) -> Verdict:
        async with AsyncDataCrawl(url, API_KEY) as dc:
            task = asyncio.create_task(dc.authorize(tool="mail", timeout=0.3))
            while not server.asked:
                await asyncio.sleep(0.001)
            time.sleep(0.6)  # noqa: ASYNC251
            verdict = await task
            assert dc.circuit.consecutive_failures == 0
            return verdict

    def respond(asked: Asked) -> None:
        # In time, and not before the loop is blocked.
        asked.closing.wait(0.15)
        allow(asked)

    with serving(respond) as server:
        verdict = asyncio.run(work(server.url))
        assert (verdict.decision, verdict.reason) == ("deny", "DEADLINE_EXCEEDED")


def test_an_answer_that_is_read_too_late_is_a_deny_and_says_nothing_of_the_service(
    client: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*args: Any, **kwargs: Any) -> Any:
        # As in a process that gets no processor: the answer is here, and nobody looks.
        time.sleep(1.3)
        return unframe(*args, **kwargs)

    monkeypatch.setattr("datacrawl._transport.unframe", slow)
    with serving(allow) as server:
        dc = client(server.url, API_KEY)
        verdict = dc.authorize(tool="mail", timeout=1.1)
        assert (verdict.decision, verdict.reason) == ("deny", "DEADLINE_EXCEEDED")
        assert dc.circuit.consecutive_failures == 0


def ask_in_child(dc: DataCrawl, results: Any) -> None:
    results.put([dc.authorize(tool="mail", timeout=30).reason for _ in range(3)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_process_that_was_forked_after_use_asks_by_connections_of_its_own() -> None:
    with serving(allow) as server, DataCrawl(server.url, API_KEY) as dc:
        assert dc.authorize(tool="mail").allowed
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        children = [context.Process(target=ask_in_child, args=(dc, results)) for _ in range(3)]
        for child in children:
            child.start()
        # The parent goes on meanwhile, on the connection that the children have inherited.
        assert [dc.authorize(tool="mail", timeout=30).reason for _ in range(20)] == ["RULE_ALLOWED"] * 20
        for child in children:
            child.join(30)
        assert [results.get() for _ in children] == [["RULE_ALLOWED"] * 3] * 3
        assert [child.exitcode for child in children] == [0, 0, 0]
        assert server.connections == 4
        results.close()
        results.join_thread()


def open_sockets() -> int:
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_keeps_no_connection_of_its_parent() -> None:
    with serving(allow) as server, DataCrawl(server.url, API_KEY) as dc:
        assert dc.authorize(tool="mail", timeout=30).allowed
        before = open_sockets()
        child = os.fork()
        if child == 0:
            # The scripted service's own are in this process, too.
            os._exit(before - open_sockets())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_while_other_threads_ask_leaves_no_lock_and_no_socket_behind() -> None:
    with serving(allow) as server, DataCrawl(server.url, API_KEY) as dc:
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                dc.authorize(tool="mail", timeout=30)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        statuses = []
        for _ in range(10):
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                os._exit(0 if dc.authorize(tool="mail", timeout=20).allowed else 1)
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        over.set()
        for thread in threads:
            thread.join()
        assert statuses == [0] * 10


def test_sigterm_ends_a_process_that_waits_for_an_answer() -> None:
    script = textwrap.dedent(
        """
        import sys
        from datacrawl import DataCrawl
        dc = DataCrawl(sys.argv[1], sys.argv[2])
        print("asking", flush=True)
        dc.authorize(tool="mail", timeout=60)
        """
    )
    with serving(Asked.hang) as server:
        process = subprocess.Popen([sys.executable, "-c", script, server.url, API_KEY], stdout=subprocess.PIPE)
        while not server.asked:
            assert process.poll() is None
            time.sleep(0.02)
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM
        assert process.stdout is not None
        process.stdout.close()


def test_a_signal_handler_that_raises_ends_the_call() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with serving(Asked.hang) as server, DataCrawl(server.url, API_KEY) as dc:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(KeyboardInterrupt):
                dc.authorize(tool="mail", timeout=60)
            assert dc.circuit.consecutive_failures == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_process_ends_although_a_client_was_never_closed() -> None:
    script = "import sys; from datacrawl import DataCrawl; print(DataCrawl(sys.argv[1], sys.argv[2]).authorize(tool='mail').allowed)"
    with serving(allow) as server:
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-c", script, server.url, API_KEY],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (ran.returncode, ran.stdout.strip()) == (0, "True")

"""
How the client waits. All that it does is written once, as coroutines over an `Io`. `BlockingIo` never suspends, so that `run` can
carry out such a coroutine without an event loop; `AsyncioIo` waits in the loop that is running.

Every method ends by its deadline, with DeadlinePassed.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar, cast

from ._deadline import Deadline, DeadlinePassed

T = TypeVar("T")

_READ_BYTES = 65536


class Io(Protocol):
    async def connect(self, sock: socket.socket, target: Any, deadline: Deadline) -> None: ...
    async def send(self, sock: socket.socket, data: bytes, deadline: Deadline) -> None: ...
    async def receive(self, sock: socket.socket, deadline: Deadline) -> bytes:
        """Empty at the end."""
        ...

    async def sleep(self, seconds: float) -> None: ...
    async def call(self, work: Callable[[], Any], deadline: Deadline) -> Any:
        """Calls what may block, such as the resolver, in a thread that ends with it. An awaitable that it returns is awaited."""
        ...


class BlockingIo:
    async def connect(self, sock: socket.socket, target: Any, deadline: Deadline) -> None:
        self._bound(sock, deadline, lambda: sock.connect(target))

    async def send(self, sock: socket.socket, data: bytes, deadline: Deadline) -> None:
        self._bound(sock, deadline, lambda: sock.sendall(data))

    async def receive(self, sock: socket.socket, deadline: Deadline) -> bytes:
        return self._bound(sock, deadline, lambda: sock.recv(_READ_BYTES))

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251

    async def call(self, work: Callable[[], Any], deadline: Deadline) -> Any:
        thread = _Thread(work)
        if not thread.done.wait(deadline.remaining()):
            raise DeadlinePassed
        result = thread.result()
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise TypeError("it returned an awaitable, which only AsyncDataCrawl can wait for")
        return result

    @staticmethod
    def _bound(sock: socket.socket, deadline: Deadline, operation: Callable[[], T]) -> T:
        # For one operation this is an upper bound in all, also if a signal interrupts it.
        sock.settimeout(deadline.remaining())
        try:
            return operation()
        except TimeoutError as error:
            # One with a number is the network's, and says something of the service.
            if error.errno is None:
                raise DeadlinePassed from None
            raise


class AsyncioIo:
    async def connect(self, sock: socket.socket, target: Any, deadline: Deadline) -> None:
        sock.setblocking(False)
        await _bounded(asyncio.get_running_loop().sock_connect(sock, target), deadline)

    async def send(self, sock: socket.socket, data: bytes, deadline: Deadline) -> None:
        sock.setblocking(False)
        await _bounded(asyncio.get_running_loop().sock_sendall(sock, data), deadline)

    async def receive(self, sock: socket.socket, deadline: Deadline) -> bytes:
        sock.setblocking(False)
        return await _bounded(asyncio.get_running_loop().sock_recv(sock, _READ_BYTES), deadline)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def call(self, work: Callable[[], Any], deadline: Deadline) -> Any:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def end() -> None:
            if not ended.done():
                ended.set_result(None)

        def notify() -> None:
            # In a loop that is closed nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(end)

        thread = _Thread(work, notify)
        await _bounded(_waiting(ended), deadline)
        result = thread.result()
        return await _bounded(_waiting(result), deadline, settle=False) if inspect.isawaitable(result) else result


async def _waiting(awaitable: Awaitable[T]) -> T:
    return await awaitable


async def _bounded(work: Coroutine[Any, Any, T], deadline: Deadline, *, settle: bool = True) -> T:
    """
    Not asyncio.wait_for, which before Python 3.12 may swallow a cancellation.

    :param settle: wait until cancelled work has ended, which must then be at once. The socket that it waits for must not be closed
        before: another one may get its number, and the loop would confuse the two
    """
    try:
        left = deadline.remaining()
    except DeadlinePassed:
        work.close()
        raise
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait({task}, timeout=left)
    finally:
        if not task.done():
            task.cancel()
            if settle:
                await _ended(task)
    if not task.done() or task.cancelled():
        raise DeadlinePassed
    return task.result()


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Carries `work` through, also if the task that waits for it is cancelled: the cancellation is raised when the work has ended."""
    await _ended(asyncio.get_running_loop().create_task(work))


async def _ended(task: asyncio.Task[Any]) -> None:
    """Waits for a task, also through cancellations: a cancel scope of anyio cancels again at each await."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


class _Thread:
    """A thread for one function; its result, or what it raised. A daemon: a resolver that hangs must not keep the process alive."""

    def __init__(self, work: Callable[[], Any], notify: Callable[[], None] = lambda: None) -> None:
        self.done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None
        context = contextvars.copy_context()

        def body() -> None:
            try:
                self._value = context.run(work)
            except BaseException as error:
                self._error = error
            self.done.set()
            notify()

        threading.Thread(target=body, name="datacrawl", daemon=True).start()

    def result(self) -> Any:
        if isinstance(self._error, Exception):
            raise self._error
        if self._error is not None:
            raise RuntimeError(f"it raised {type(self._error).__name__}")
        return self._value


def run(work: Coroutine[Any, Any, T]) -> T:
    """Carries out a coroutine over a BlockingIo."""
    try:
        work.send(None)
    except StopIteration as stop:
        return cast(T, stop.value)
    work.close()
    raise RuntimeError("a coroutine over a blocking Io must not suspend")


BLOCKING = BlockingIo()
ASYNCIO = AsyncioIo()

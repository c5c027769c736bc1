from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from ._calls import AsyncAuthorizer, Authorizer, _Calls
from ._circuit import Circuit, CircuitSnapshot
from ._credentials import TokenSource
from ._execution import Execution, Reported, Start
from ._guard import Guard
from ._ids import fraction
from ._io import Io
from ._options import DEFAULT_TIMEOUT, Options, read_options
from ._trace import traceparent_of
from ._transport import Transport
from ._verdict import Verdict

OnVerdict = Callable[[Verdict, str], object]


class _Client(_Calls):
    """
    What both clients are. Make one for each agent in a process and keep it: it owns the circuit and the connections. It starts no
    thread, connects with the first call, and may be used by many threads, by event loops one after the other, and after a fork.

    :param url: the gRPC address of the service; http:// only on this machine. Without a credential it is taken for a sidecar's.
        Default: DATACRAWL_URL, else http://127.0.0.1:7440
    :param api_key: `dc_agent_…`; names the agent. Default: DATACRAWL_API_KEY
    :param timeout: seconds that a call may take, above 0 and at most 600
    :param token: instead of a key: returns the agent's JWT, called before each attempt. Default: reads the file DATACRAWL_TOKEN_FILE
    :param client_certificate: instead of a key or a token, or beside one: the paths of a certificate and its key in PEM.
        Default: DATACRAWL_CLIENT_CERT_FILE and DATACRAWL_CLIENT_KEY_FILE
    :param agent_id: the agent that the token or the certificate names, or for which the sidecar asks. Default: DATACRAWL_AGENT_ID
    :param ca_file: certificate authorities in PEM instead of the system's. Default: DATACRAWL_CA_FILE
    :param sidecar: instead of `url`: the address of a sidecar, host:port on this machine or unix:/path. It needs no credential, and
        credentials of the environment are not sent to it. Default: DATACRAWL_SIDECAR, if there is no `url`
    :param circuit_failures: consecutive failed calls that open the circuit
    :param probe_after: seconds from the opening, or from a failed probe, to the next probe
    :param on_verdict: called with each verdict of `authorize` and `protect` and its tool; an error that it raises is logged
    :param logger: where warnings go. Default: the logger "datacrawl"
    :raises ValueError: naming every wrong option
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        *,
        token: TokenSource | None = None,
        client_certificate: tuple[str, str] | None = None,
        agent_id: str | None = None,
        ca_file: str | None = None,
        sidecar: str | None = None,
        circuit_failures: int = 5,
        probe_after: float = 30.0,
        on_verdict: OnVerdict | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        options = Options(
            url=url,
            api_key=api_key,
            timeout=timeout,
            token=token,
            client_certificate=client_certificate,
            agent_id=agent_id,
            ca_file=ca_file,
            sidecar=sidecar,
            circuit_failures=circuit_failures,
            probe_after=probe_after,
            on_verdict=on_verdict,
            logger=logger,
        )
        settings = read_options(options, os.environ)
        circuit = Circuit(settings.circuit, lambda: time.monotonic() * 1000, fraction)
        self._guard = Guard(settings.guard, Transport(settings.endpoint, settings.credentials), circuit)
        self._on_verdict = on_verdict
        self._logger = settings.guard.logger

    @property
    def circuit(self) -> CircuitSnapshot:
        """The circuit now."""
        return self._guard.circuit.snapshot

    async def _ask(
        self,
        io: Io,
        *,
        tool: Any,
        payload: Any = None,
        idempotency_key: Any = None,
        principal: Any = None,
        session_id: Any = None,
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> Verdict:
        """`authorize` over any `Io`."""
        verdict = await self._guard.authorize(
            io,
            tool=tool,
            payload=payload,
            idempotency_key=idempotency_key,
            principal=principal,
            session_id=session_id,
            timeout=timeout,
            traceparent=traceparent_of(traceparent),
        )
        if self._on_verdict is not None:
            try:
                self._on_verdict(verdict, tool)
            except Exception:
                self._logger.exception("on_verdict raised an error")
        return verdict

    async def _wait(self, io: Io, decision_id: str, timeout: float) -> Verdict:
        """`wait_for_review` over any `Io`."""
        return await self._guard.wait_for_review(io, decision_id, timeout=timeout)

    async def _start(self, io: Io, verdict: Verdict, timeout: float | None, traceparent: str | None = None) -> Start:
        """`begin` over any `Io`."""
        return await self._guard.begin(io, verdict, timeout=timeout, traceparent=traceparent_of(traceparent))

    async def _end(
        self,
        io: Io,
        execution: Execution,
        outcome: Any,
        *,
        error_code: str = "",
        duration: float | None = None,
        summary: str = "",
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> Reported:
        """`report` over any `Io`."""
        return await self._guard.report(
            io,
            execution,
            outcome,
            error_code=error_code,
            duration=duration,
            summary=summary,
            timeout=timeout,
            traceparent=traceparent_of(traceparent),
        )

    def _close(self) -> None:
        self._guard.close()


class DataCrawl(_Client, Authorizer):
    __doc__ = f"""
    Asks the service for one agent, and denies on every failure.

        dc = DataCrawl(url="https://authz.internal:7440", api_key=os.environ["DATACRAWL_API_KEY"])
        verdict = dc.authorize(tool="gmail.send_email", payload=payload, idempotency_key=f"send-{{message_id}}")
        if verdict.allowed:
            send_email(payload)

    {_Client.__doc__}
    """


class AsyncDataCrawl(_Client, AsyncAuthorizer):
    __doc__ = f"""
    As `DataCrawl`, for asyncio.

        async with AsyncDataCrawl(url="https://authz.internal:7440") as dc:
            verdict = await dc.authorize(tool="gmail.send_email", payload=payload)

    A token source may be a coroutine function.

    {_Client.__doc__}
    """

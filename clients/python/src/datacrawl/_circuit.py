"""
The circuit of one client: after five failures of the service in a row calls are denied at once, until one probe succeeds. It changes
how fast a failure is answered, never the answer. The rules are those of docs/circuit.md without a fleet.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["closed", "open", "half_open", "recovering"]
Outcome: TypeAlias = Literal["success", "failure", "ignored"]

_KEPT_ERRORS = 5


@dataclass(frozen=True, slots=True)
class CircuitConfig:
    failures: int = 5
    """Consecutive failures that open the circuit."""
    probe_after_ms: float = 30_000
    """From the opening, or from a failed probe, to the next probe; ±10 %."""
    ramp_ms: float = 5_000
    """From the first success to full admission."""

    @property
    def lease_ms(self) -> float:
        """How long one probe may take."""
        return math.floor(min(10_000, max(1_000, self.probe_after_ms / 2)))


@dataclass(frozen=True, slots=True)
class CircuitSnapshot:
    """The circuit at one moment."""

    state: State
    """closed: calls pass. open: they are denied. half_open: one probe passes. recovering: a growing share passes."""
    consecutive_failures: int
    next_probe_in: float | None
    """Seconds to the next probe; 0 if the next call may be it. None unless open."""
    last_errors: tuple[str, ...]
    """The last failures, newest first: at most 5."""


@dataclass(eq=False, slots=True)
class Permit:
    """Leave to call, or not. Each one that was not denied is reported once."""

    kind: Literal["call", "probe", "denied"]
    generation: int = 0
    lease_ms: float = 0
    """A probe must end within this."""
    retry_in_ms: int = 0
    """Of a denied call: until another one may fare better."""
    reported: bool = False


@dataclass(frozen=True, slots=True)
class _State:
    """`at` is `probe_at` of open, `until` of half_open, `since` of recovering."""

    kind: State = "closed"
    generation: int = 0
    failures: int = 0
    at: float = 0
    in_flight: int = 0


class Circuit:
    """
    :param monotonic: milliseconds that never go back
    :param roll: uniform from 0 to 1, without 1
    """

    def __init__(self, config: CircuitConfig, monotonic: Callable[[], float], roll: Callable[[], float]) -> None:
        self._config = config
        self._monotonic = monotonic
        self._roll = roll
        self._state = _State()
        self._errors: deque[str] = deque(maxlen=_KEPT_ERRORS)
        self._lock = threading.Lock()

    def permit(self) -> Permit:
        """Takes microseconds."""
        with self._lock:
            now = self._settle()
            state = self._state
            if state.kind == "closed":
                return Permit("call", state.generation)
            if state.kind == "open" and now >= state.at:
                lease = self._config.lease_ms
                self._state = _State("half_open", state.generation + 1, state.failures, now + lease)
                return Permit("probe", state.generation + 1, lease)
            # One call at a time is no stampede, so a process that makes them one by one loses none to the ramp.
            if state.kind == "recovering" and (
                state.in_flight == 0 or self._roll() < (now - state.at) / self._config.ramp_ms
            ):
                self._state = _State("recovering", state.generation, state.failures, state.at, state.in_flight + 1)
                return Permit("call", state.generation)
            change = state.at + (self._config.ramp_ms if state.kind == "recovering" else 0)
            return Permit("denied", retry_in_ms=max(0, math.ceil(change - now)))

    def report(self, permit: Permit, outcome: Outcome, error: str = "") -> None:
        """How a permitted call went, whatever its attempts. A repeated report changes nothing."""
        with self._lock:
            if permit.kind == "denied" or permit.reported:
                return
            permit.reported = True
            now = self._settle()
            # INVARIANT: a result counts only in the state that admitted its call.
            if permit.generation != self._state.generation:
                return
            if outcome == "failure":
                self._errors.appendleft(error)
            self._state = self._after(outcome, now)

    def _after(self, outcome: Outcome, now: float) -> _State:
        state, config = self._state, self._config
        if state.kind == "open":
            return state
        if outcome == "success":
            if state.kind == "half_open":
                return _State("recovering", state.generation + 1, 0, now)
            return _State(state.kind, state.generation, 0, state.at, max(0, state.in_flight - 1))
        if outcome == "ignored":
            if state.kind == "half_open":
                # Soon, but not at once: callers that keep cancelling must not become a stream of probes.
                return _State("open", state.generation + 1, state.failures, now + config.probe_after_ms / 10)
            return _State(state.kind, state.generation, state.failures, state.at, max(0, state.in_flight - 1))
        failures = state.failures + 1
        if state.kind == "closed" and failures < config.failures:
            return _State("closed", state.generation, failures)
        probe_at = now + config.probe_after_ms * (0.9 + 0.2 * self._roll())
        return _State("open", state.generation + 1, failures, probe_at)

    @property
    def snapshot(self) -> CircuitSnapshot:
        with self._lock:
            now = self._settle()
            state = self._state
            probe_in = max(0.0, state.at - now) / 1000 if state.kind == "open" else None
            return CircuitSnapshot(state.kind, state.failures, probe_in, tuple(self._errors))

    def after_fork(self) -> None:
        """In the child: a thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def _settle(self) -> float:
        """Takes in what time alone does."""
        now, state = self._monotonic(), self._state
        if state.kind == "half_open" and now >= state.at:
            # The probe hangs, or its caller is gone: the next call probes, and the lost probe's result is of an old generation.
            self._state = _State("open", state.generation + 1, state.failures, state.at)
        elif state.kind == "recovering" and now - state.at >= self._config.ramp_ms:
            # The same generation: a call that the ramp admitted still tells how the service is.
            self._state = _State("closed", state.generation, state.failures)
        return now

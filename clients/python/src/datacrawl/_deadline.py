from __future__ import annotations

import time
from dataclasses import dataclass


class DeadlinePassed(Exception):
    """The caller's time is over."""


@dataclass(frozen=True, slots=True)
class Deadline:
    at: float
    """On the monotonic clock, in seconds."""

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds; negative when it has passed."""
        return self.at - time.monotonic()

    @property
    def passed(self) -> bool:
        return self.left <= 0

    def within(self, seconds: float) -> Deadline:
        return Deadline(min(self.at, time.monotonic() + seconds))

    def remaining(self) -> float:
        """Seconds that are left. Raises DeadlinePassed if there are none."""
        left = self.left
        if left <= 0:
            raise DeadlinePassed
        return left

"""Where the engine takes time and chance from, so that a simulator can own both."""

from __future__ import annotations

import random
import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    def uniform(self) -> float:
        """A random number in [0, 1)."""


class MonotonicClock:
    """The machine's clock. Election timeouts need no secret randomness."""

    now = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.uniform = random.Random().random

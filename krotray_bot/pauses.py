"""How long to wait before trying again."""

from __future__ import annotations

import random

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 30.0


class Pauses:
    """Pauses that double, with a jitter, until something works again."""

    def __init__(self) -> None:
        self.failures = 0

    def next(self) -> float:
        """The seconds to wait after one more failure."""
        pause = min(FIRST_SECONDS * 2 ** min(self.failures, 10), LONGEST_SECONDS)
        self.failures += 1
        return pause * random.uniform(0.75, 1.0)  # noqa: S311 - spreads retries, keeps no secret

    def reset(self) -> None:
        """It works again."""
        self.failures = 0

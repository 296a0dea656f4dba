"""A picture that looks like a payment code and holds nothing."""

from __future__ import annotations

import random

SIZE = 25
_EYE = 7


def drawn_code(seed: str) -> str:
    """The dark squares of the picture as one SVG path on a grid of `SIZE` units; the same seed draws the same."""
    chance = random.Random(seed)
    dark = {(x, y) for y in range(SIZE) for x in range(SIZE) if not _near_an_eye(x, y) and chance.random() < 0.48}
    for left, top in ((0, 0), (SIZE - _EYE, 0), (0, SIZE - _EYE)):
        dark |= {(left + x, top + y) for x in range(_EYE) for y in range(_EYE) if _is_eye(x, y)}
    return "".join(f"M{x} {y}h1v1h-1z" for x, y in sorted(dark))


def _near_an_eye(x: int, y: int) -> bool:
    low, high = _EYE + 1, SIZE - _EYE - 1
    return (x < low and y < low) or (x >= high and y < low) or (x < low and y >= high)


def _is_eye(x: int, y: int) -> bool:
    """A ring around a filled middle."""
    ring = max(abs(x - _EYE // 2), abs(y - _EYE // 2))
    return ring == 3 or ring <= 1

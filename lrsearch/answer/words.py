"""A rate in words, the same in every sentence, table and plot. Knows numbers only."""

from __future__ import annotations

import math


def rate_text(rate: float) -> str:
    """`2.1e-4`: two digits, as people write rates."""
    if not math.isfinite(rate) or rate <= 0:
        return f"{rate:g}"
    digits, power = f"{rate:.1e}".split("e")
    return f"{digits}e{int(power)}"

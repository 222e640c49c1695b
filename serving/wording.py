"""How numbers are written for people: money without a currency, shares, metrics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Forms:
    """How numbers are written; money with digits that fit a customer's mean value."""

    mean: float

    def money(self, number: float, sign: str = "", fine: bool = False) -> str:
        """Money without a currency, which the log does not tell; `fine` keeps digits for small shares of a value.

        >>> Forms(150.0).money(1234.56), Forms(3.0).money(1234.56), Forms(3.0).money(3.456, "+")
        ('1,235', '1,235', '+3.46')
        """
        digits = 0 if self.mean >= (2000 if fine else 20) or abs(number) >= 1000 else 2
        return f"{round(number, digits) + 0.0:{sign},.{digits}f}"

    def of(self, number: float, form: str) -> str:
        """A metric in its form; 'not measured' where there is none.

        >>> Forms(150.0).of(0.8781, "share"), Forms(150.0).of(-0.0207, "signed"), Forms(150.0).of(0.1021, "plain")
        ('87.8%', '−2.1%', '0.102')
        """
        if not np.isfinite(number):
            return "not measured"
        if form == "money":
            return self.money(number)
        return {"share": f"{number:.1%}", "signed": f"{number:+.1%}", "plain": f"{number:.3f}"}[form].replace("-", "−")


def share(number: float) -> str:
    """A share in per cent, never rounded to none or all.

    >>> share(0.256), share(0.0004), share(0.9996), share(0.0)
    ('26%', 'under 1%', 'over 99%', '0%')
    """
    if 0 < number < 0.005:
        return "under 1%"
    return "over 99%" if 0.995 <= number < 1 else f"{number:.0%}"

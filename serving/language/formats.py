"""Formats of numbers for readers (money, shares, metrics), and the terms for churn of a task."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from features.config.sections import TaskConfig
from serving.language.messages import N_, Language, get_language

ENGLISH = get_language("en")


@dataclass(frozen=True)
class NumberFormat:
    """Formats numbers in a language; money gets digits that suit a customer's mean value."""

    mean: float
    tr: Language = ENGLISH

    def money(self, number: float, sign: str = "", fine: bool = False) -> str:
        """Format money, with the sign of its currency if the config names one.

        Args:
            number: The amount.
            sign: '+' to write the sign of positive amounts too.
            fine: Whether to keep more digits, for small parts of a customer's value.

        Returns:
            The amount with thousands separators.

        >>> NumberFormat(150.0).money(1234.56), NumberFormat(3.0).money(1234.56), NumberFormat(3.0).money(3.456, "+")
        ('1,235', '1,235', '+3.46')
        >>> NumberFormat(3.0, get_language("en", "EUR")).money(-3.456)
        '-€3.46'
        """
        digits = 0 if self.mean >= (2000 if fine else 20) or abs(number) >= 1000 else 2
        return format_money(number, self.tr, sign, digits)

    def count(self, number: float) -> str:
        """Format a number of customers or other things.

        >>> NumberFormat(150.0).count(1234.0)
        '1,234'
        """
        return f"{number:,.0f}"

    def of(self, number: float, form: str) -> str:
        """Format a metric; 'not measured' if it is not finite.

        >>> fmt = NumberFormat(150.0)
        >>> fmt.of(0.8781, "share"), fmt.of(-0.0207, "signed"), fmt.of(0.1021, "plain")
        ('87.8%', '−2.1%', '0.102')
        """
        if not np.isfinite(number):
            return self.tr("not measured")
        if form == "money":
            return self.money(number)
        return {"share": f"{number:.1%}", "signed": f"{number:+.1%}", "plain": f"{number:.3f}"}[form].replace("-", "−")

    def share(self, number: float) -> str:
        """Format a share in per cent."""
        return format_share(number, self.tr)

    def span(self, low: float, high: float, form: str = "money") -> str:
        """Format an interval.

        Args:
            low: Lower end.
            high: Upper end.
            form: 'money', 'share', 'signed' or 'plain'.

        Returns:
            Both ends as text.

        >>> NumberFormat(150.0).span(10.0, 20.4), NumberFormat(150.0).span(-0.1, 0.2, "signed")
        ('10 to 20', '−10.0% to +20.0%')
        """
        return self.tr("{low} to {high}", low=self.of(low, form), high=self.of(high, form))


def format_money(number: float, tr: Language = ENGLISH, sign: str = "", digits: int = 2) -> str:
    """Format money with a fixed number of decimals, and the sign of the business's currency if it is known.

    Args:
        number: The amount.
        tr: The language, which knows the currency.
        sign: '+' to write the sign of positive amounts too.
        digits: Decimals, at most as many as the currency has.

    Returns:
        The amount with thousands separators.

    >>> format_money(1234.5), format_money(1234.5, get_language("zh", "CNY"), "+")
    ('1,234.50', '+¥1,234.50')
    """
    if not tr.currency:
        return f"{round(number, digits) + 0.0:{sign},.{digits}f}"
    symbol, most = currency_symbol(tr.currency, tr.code)
    text = f"{round(number, min(digits, most)) + 0.0:{sign},.{min(digits, most)}f}"
    before = text[0] if text[0] in "+-" else ""
    return f"{before}{symbol}{text.removeprefix(before)}"


@lru_cache
def currency_symbol(currency: str, language: str) -> tuple[str, int]:
    r"""The sign of a currency before an amount, and how many decimals it has, by the Unicode CLDR.

    >>> currency_symbol("EUR", "en"), currency_symbol("JPY", "zh"), currency_symbol("CHF", "en")
    (('€', 2), ('JP¥', 0), ('CHF\xa0', 2))
    """
    from babel.numbers import get_currency_precision, get_currency_symbol  # late: Spark's workers need none of it

    symbol = str(get_currency_symbol(currency, language))
    return f"{symbol}\xa0" if symbol[-1].isalpha() else symbol, int(get_currency_precision(currency))


@dataclass(frozen=True)
class ChurnTerms:
    """The terms for leaving and staying; `{days}` stands for the horizon, `{active}` for the window of the cohort.

    Attributes:
        leaving: What a customer who leaves does.
        chance: The event whose probability is predicted.
        member: Who belongs to the cohort.
        outsiders: Says that nobody belongs to the cohort.
        definition: The definition of churn, in full sentences.
        watched: What the features summarise.
        stayers: Those who stay.
        staying: What they do.
        bring: What customers do with their money.
        value: The definition of value.
        started: What a new customer had first, less than a horizon ago.
        lifecycle: The definition of the lifecycle.
        rank: What ranks customers if there is no value.
        rule: An example of a baseline.
    """

    leaving: str
    chance: str
    member: str
    outsiders: str
    definition: str
    watched: str
    stayers: str
    staying: str
    bring: str
    value: str
    started: str
    lifecycle: str
    rank: str
    rule: str

    def filled(self, days: int, active: int, tr: Language = ENGLISH) -> ChurnTerms:
        """Translate the terms and fill in the days.

        Args:
            days: Length of the horizon.
            active: Length of the window of the cohort.
            tr: The language.

        Returns:
            The terms without slots.

        >>> INACTIVE.filled(90, 365).member
        'bought in the 365 days before'
        """
        return ChurnTerms(**{name: tr(text, days=days, active=active) for name, text in asdict(self).items()})


INACTIVE = ChurnTerms(
    leaving=N_("buying nothing in those {days} days"),
    chance=N_("no purchase"),
    member=N_("bought in the {active} days before"),
    outsiders=N_("nobody purchased in the {active} days before it"),
    definition=N_("No purchase in the {days} days from the cutoff. A refund or a free item alone is not a purchase."),
    watched=N_("how recently, how often and how regularly they ordered"),
    stayers=N_("those who return"),
    staying=N_("returning"),
    bring=N_("spend"),
    value=N_("the net amount a customer is expected to spend in it, refunds taken off"),
    started=N_("order"),
    lifecycle=N_(
        "New, active, slipping or dormant: how long a customer has been silent, measured by their own rhythm."
    ),
    rank=N_("orders a month"),
    rule=N_("who has been silent longest leaves first"),
)
CANCELLED = ChurnTerms(
    leaving=N_("that the contract is cancelled in those {days} days and not renewed"),
    chance=N_("cancelling"),
    member=N_("had a running contract on that day"),
    outsiders=N_("nobody had a running contract"),
    definition=N_(
        "The contract is cancelled in the {days} days from the cutoff and not renewed within 7 days. "
        "One that ends in another way, by death or because it had run its course, is not churn."
    ),
    watched=N_("how long their contracts have run and what happened before"),
    stayers=N_("those who do not cancel"),
    staying=N_("staying"),
    bring=N_("pay"),
    value=N_("the payments that are expected of a customer in it"),
    started=N_("contract"),
    lifecycle=N_(
        "New: the contract began within the last {days} days. Where other events are known too, active, slipping "
        "or dormant say how long a customer has been silent, by their own rhythm; without them all others are active."
    ),
    rank=N_("price, or else by how long they have been customers"),
    rule=N_("who signed up last cancels first"),
)


def churn_terms(churn: str, days: int, active: int, tr: Language = ENGLISH) -> ChurnTerms:
    """Choose the terms of a task.

    Args:
        churn: 'inactive' or 'cancelled'.
        days: Length of the horizon.
        active: Length of the window of the cohort.
        tr: The language.

    Returns:
        The terms in the language.
    """
    return (CANCELLED if churn == "cancelled" else INACTIVE).filled(days, active, tr)


def task_terms(task: TaskConfig) -> ChurnTerms:
    """Choose the English terms of a config's task."""
    return churn_terms(task.churn, task.horizon.days, task.active_within.days)


def format_share(number: float, tr: Language = ENGLISH) -> str:
    """Format a share in per cent; only exactly none and all are written as 0% and 100%.

    >>> format_share(0.256), format_share(0.0004), format_share(0.9996), format_share(0.0)
    ('26%', 'under 1%', 'over 99%', '0%')
    """
    if 0 < number < 0.005:
        return tr("under 1%")
    return tr("over 99%") if 0.995 <= number < 1 else f"{number:.0%}"

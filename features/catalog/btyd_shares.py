"""How much of each prediction of BG/NBD and Gamma-Gamma comes from each of its inputs, so that reasons name behaviour.

Aumann-Shapley values of the fitted models: along a path from a typical customer's inputs to the customer's own, each
input receives its part of every step of a prediction's logarithm (of its log-odds for the chance of an order). The path
is straight in the logarithms of the inputs, since a silence is long or short in proportion to what is usual. The parts,
divided by their sum, are the shares in which an explanation hands on what a prediction contributed to a score
(`training.artifact.reasons.hand_on_contributions`). Inputs that pull in opposite directions have shares below 0 and
above 1. Where they nearly cancel, shares follow their strength instead, so that none exceeds 1 / SMALLEST_AGREEMENT.

The models predict from whole numbers of purchases. Between one purchase, after which nobody can have left, and two, the
odds of having left are interpolated in proportion, so that the path has no jump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import numpy as np
from scipy.special import expit

from features.catalog.btyd_model import BGNBD, Floats, GammaGamma, expected_orders_if_alive
from features.config.data_contract import DataContract
from features.point_in_time.history import Past
from features.task import Task

RHYTHM = ("recency_days", "tenure_days", "orders_count")
MADE_OF = {
    "orders_expected": RHYTHM,
    "alive_probability": RHYTHM,
    "return_probability": RHYTHM,
    "order_amount_expected": ("orders_count", "order_amount_mean"),
    "amount_expected": (*RHYTHM, "order_amount_mean"),
}
SPANNED = ("orders_count", "order_amount_mean")  # features of the span of history that the models see
SMALLEST_AGREEMENT = 0.25  # of the net change in the sum of absolute changes: below it, shares are damped
NODES, SMOOTH_NODES = 16, 8  # of Gauss-Legendre quadrature
CERTAIN = 1e-4  # a chance of an order this near to 1 counts as certain
STEP = 1e-4  # of the numerical slopes, relative
TINY = 1e-12
LARGEST_EXPONENT = 700.0  # exp of more is infinite
PARTS_PER_NAT = (
    10**6
)  # logarithms are summed in integer parts of a nat, so that sums do not depend on the order of rows
KEY_BITS = 20  # days and counts are below 2**20
Slopes = Callable[[Floats], Floats]  # inputs (k, n) -> slopes by the logarithms of the inputs, (..., k, n)


@dataclass(frozen=True)
class TypicalInputs:
    """The start of the path: geometric means over a cohort.

    Attributes:
        last: Days since the last purchase.
        first: Days since the first purchase.
        bought: Days with a purchase.
    """

    last: float
    first: float
    bought: float


def history_span(task: Task, contract: DataContract) -> str:
    """The span of features that show the history of the models: the longest window, or 'ever' if it holds the log."""
    longest = task.windows[-1]
    return "ever" if longest.days in contract.windows_beyond_log else str(longest)


def share_columns(features: Sequence[str], span: str) -> tuple[str, ...]:
    """The columns with the shares of those features that are predictions, such as 'alive_probability:recency_days'.

    >>> share_columns(("recency_days", "order_amount_expected"), "365d")
    ('order_amount_expected:orders_count_365d', 'order_amount_expected:order_amount_mean_365d')
    """
    return tuple(_column(name, source, span) for name in MADE_OF if name in features for source in MADE_OF[name])


def _column(name: str, source: str, span: str) -> str:
    return f"{name}:{source}_{span}" if source in SPANNED else f"{name}:{source}"


def typical_inputs(past: Past, summaries: ibis.Table) -> dict[date, TypicalInputs]:
    """The inputs of a typical customer at each cutoff: geometric means over those who bought in the active window.

    Args:
        past: Gives the engine and the cohort's window.
        summaries: As `btyd.purchase_summaries` returns them.

    Returns:
        The inputs by cutoff; those of the cutoff's customers together if none of them is in the cohort.
    """
    members = summaries.last <= past.task.cohort.active_within.days
    nats = {name: _log_parts(summaries[name]) for name in ("last", "first", "bought")}
    sums = {name: total.sum(where=members) for name, total in nats.items()}
    totals = {f"all_{name}": total.sum() for name, total in nats.items()}
    counts = {"members": members.cast("int64").sum(), "customers": summaries.count()}
    rows = past.engine.to_arrow(summaries.group_by("cutoff").aggregate(**sums, **totals, **counts)).to_pylist()
    return {row["cutoff"]: _typical(row) for row in rows}


def _log_parts(count: ibis.Value) -> ibis.Value:
    return (count.cast("float64").ln() * PARTS_PER_NAT).round().cast("int64")


def _typical(row: Mapping[str, int]) -> TypicalInputs:
    prefix, size = ("", row["members"]) if row["members"] else ("all_", row["customers"])
    names = ("last", "first", "bought")
    return TypicalInputs(*(float(np.exp(row[f"{prefix}{name}"] / size / PARTS_PER_NAT)) for name in names))


def prediction_shares(
    history: Floats, spend: Floats, rhythm: BGNBD, amounts: GammaGamma | None, typical: TypicalInputs, horizon: int
) -> Iterator[Floats]:
    """The shares of the inputs in each prediction; those of one prediction add up to 1.

    Args:
        history: Days since the last and the first purchase, and days with a purchase, (3, n), whole numbers above 0.
        spend: Spend on these days in money, (n,).
        rhythm: The fitted BG/NBD.
        amounts: The fitted Gamma-Gamma; None if the log has no amounts.
        typical: The start of the path.
        horizon: Days after the cutoff.

    Yields:
        The shares (n,) of each column of `share_columns`.

    >>> rhythm = BGNBD(0.243, 4.414, 0.793, 2.426, False, 7)
    >>> customers = np.array([[3.0, 200.0], [300.0, 300.0], [9.0, 9.0]])
    >>> shares = list(prediction_shares(customers, np.zeros(2), rhythm, None, TypicalInputs(60, 200, 2), 30))
    >>> [share.round(2).tolist() for share in shares[6:]]  # of the chance of an order
    [[0.08, 0.99], [-0.17, -0.21], [1.1, 0.22]]
    """
    rhythm_changes = _rhythm_changes(history, rhythm, typical, horizon)
    changes = dict(zip(("orders_expected", "alive_probability", "return_probability"), rhythm_changes, strict=True))
    if amounts is not None:
        size = _size_changes(history[2], spend / history[2], amounts, typical)
        both = np.concatenate([changes["orders_expected"], size[1:]])
        both[2] += size[0]
        changes |= {"order_amount_expected": size, "amount_expected": both}
    for parts in changes.values():
        yield from _shares(parts)


def _shares(parts: Floats) -> Floats:
    """Shares (k, n) of parts (k, n), which add up to 1: parts / their sum where that is not small against them."""
    strength = np.abs(parts).sum(axis=0)
    known = strength > TINY
    relative = np.where(known, parts / np.where(known, strength, 1.0), 1 / len(parts))
    weight = np.abs(relative)
    agreement = relative.sum(axis=0)
    damped = agreement / np.maximum(np.abs(agreement), SMALLEST_AGREEMENT) ** 2
    return weight + damped * (relative - agreement * weight)


def _rhythm_changes(history: Floats, rhythm: BGNBD, typical: TypicalInputs, horizon: int) -> Floats:
    """Changes along the path of the log of expected orders, of P(alive), and the log-odds of return: (3, 3, n).

    Equal histories are computed once.
    """
    last, first, bought = history.astype(np.int64)
    keys, places = np.unique(((last << KEY_BITS | first) << KEY_BITS) | bought, return_inverse=True)
    mask = (1 << KEY_BITS) - 1
    distinct = np.stack([keys >> 2 * KEY_BITS, keys >> KEY_BITS & mask, keys & mask]).astype(np.float64)
    start = np.array([typical.last, typical.first, typical.bought])
    alive, returns = _integrate(lambda inputs: _alive_slopes(inputs, rhythm, horizon), start, distinct, NODES)
    pairs, of_pair = np.unique(keys & ((1 << 2 * KEY_BITS) - 1), return_inverse=True)
    ends = np.stack([pairs >> KEY_BITS, pairs & mask]).astype(np.float64)
    orders = _integrate(lambda inputs: _orders_slopes(inputs, rhythm, horizon), start[1:], ends, SMOOTH_NODES)
    expected = alive.copy()
    expected[1:] += orders[:, of_pair]
    changes: Floats = np.stack([expected, alive, returns])[:, :, places]
    return changes


def _integrate(slopes: Slopes, start: Floats, ends: Floats, nodes: int) -> Floats:
    """The part of each input (..., k, n) in the change from the start (k,) to the ends (k, n)."""
    begin = np.log(start)[:, None]
    step = np.log(ends) - begin
    total = np.zeros(())
    for node, weight in zip(*np.polynomial.legendre.leggauss(nodes), strict=True):
        total = total + weight / 2 * slopes(np.exp(begin + (node + 1) / 2 * step))
    return total * step


def _alive_slopes(inputs: Floats, rhythm: BGNBD, horizon: int) -> Floats:
    """Slopes of log P(alive) and of the log-odds of an order within the horizon, (2, 3, n).

    The odds of having left are a / (b + x - 1) ((alpha + T) / (alpha + t_x))^(r + x), with t_x = first - last; see
    `BGNBD.alive_probability` and `BGNBD.return_probability`.
    """
    last, first, bought = inputs
    unit, again = rhythm.time_unit_days, np.maximum(bought - 1, TINY)
    until_last, until_now = rhythm.alpha + np.maximum(first - last, 0) / unit, rhythm.alpha + first / unit
    rate, silence = rhythm.r + again, np.log(until_now / until_last)
    log_odds = np.log(rhythm.a * np.minimum(again, 1) / (rhythm.b + np.maximum(again, 1) - 1)) + rate * silence
    by_last = rate / until_last / unit
    by_bought = silence + np.where(again < 1, 1 / again, -1 / (rhythm.b + again - 1))
    alive = -expit(log_odds) * np.stack([by_last, rate / until_now / unit - by_last, by_bought])
    ahead = horizon / unit
    waited = np.log1p(ahead / until_now)
    gain = 1 / np.expm1(np.minimum(rate * waited, LARGEST_EXPONENT))
    by_first = -gain * rate * ahead / (until_now * (until_now + ahead)) / unit
    returns = alive + np.stack([np.zeros_like(gain), by_first, gain * waited])
    chance = expit(-log_odds) * -np.expm1(-rate * waited)
    slopes: Floats = np.stack([alive, returns / np.maximum(1 - chance, CERTAIN)]) * inputs
    return slopes


def _orders_slopes(inputs: Floats, rhythm: BGNBD, horizon: int) -> Floats:
    """Numerical slopes (2, n), by days since the first purchase and days with one, of the log of orders if alive."""
    first, bought = inputs

    def log_orders(days: Floats, count: Floats) -> Floats:
        again, ahead = np.maximum(count - 1, 0), horizon / (rhythm.alpha * rhythm.time_unit_days + days)
        orders: Floats = np.log(expected_orders_if_alive(rhythm.r + again, rhythm.a, rhythm.b + again, ahead))
        return orders

    here = log_orders(first, bought)
    return (
        np.stack([log_orders(first * (1 + STEP), bought) - here, log_orders(first, bought * (1 + STEP)) - here]) / STEP
    )


def _size_changes(bought: Floats, mean: Floats, amounts: GammaGamma, typical: TypicalInputs) -> Floats:
    """Parts (2, n) of days with a purchase and of the mean spend on them in the log of the expected spend.

    The path starts at the mean of the population, p v / (q - 1).
    """
    usual = amounts.p * amounts.v / (amounts.q - 1)
    ends = np.stack([bought, np.where((mean > 0) & np.isfinite(mean), mean, usual)])

    def slopes(inputs: Floats) -> Floats:
        count, size = inputs
        total = count * size + amounts.v
        return np.stack([count * size / total - count / (count + (amounts.q - 1) / amounts.p), count * size / total])

    return _integrate(slopes, np.array([typical.bought, usual]), ends, NODES)

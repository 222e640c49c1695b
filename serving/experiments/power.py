"""Power analysis of a holdout: the smallest detectable effect, the power for the expected one, the customers needed.

It foretells the method by which the plan will be measured (`serving.measurement`). Outcomes of the plan's customers are
simulated: a customer returns with the predicted probability and then brings a log-normal spend around the predicted
one, so that the spend of all buyers varies as it did in the log's last horizon. With its action, a customer returns
with the expected effect. These outcomes are capped, adjusted and compared in the same way; the power follows from their
variances in both groups and from the skewness of a difference between a large and a small group.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from serving.statistics.randomisation import pearson_quantile, pearson_tail, remove_covariates
from serving.statistics.treatment_effect import count_up_to_cap

ALPHA, POWER = 0.05, 0.8
SIMULATED, FEWEST_REPEATS, MOST_REPEATS = 200_000, 2, 100  # outcomes that are simulated
MOST_NEEDED = 1e12  # customers


@dataclass(frozen=True)
class OutcomeMoments:
    """One outcome of a group of customers, as it is compared.

    Attributes:
        deviation: Standard deviation of the capped and adjusted outcome, of all customers together.
        held_out: The same without any action.
        treated: The same with the action.
        skewness: Skewness of all customers together.
        expected: Mean effect that the plan expects.
        counted: The part of it that lies below the cap.
        cap: How much one customer counts; None for return.
    """

    deviation: float
    held_out: float
    treated: float
    skewness: float
    expected: float
    counted: float
    cap: float | None = None


@dataclass(frozen=True)
class PowerAnalysis:
    """The power of comparing one outcome between treatment and holdout.

    Attributes:
        deviation: Standard deviation of the outcome over customers, as it is compared: capped and adjusted.
        detects: The smallest mean effect that is detected with power POWER.
        expected: The mean effect that the plan expects on customers with an action.
        counted: The part of it that lies below the cap.
        counted_up_to: How much one customer counts; None if everything does.
        power: Probability of detecting the expected effect.
        needed: Customers of both groups together that POWER takes at the plan's holdout share; None if no effect is
            expected.
    """

    deviation: float
    detects: float
    expected: float
    counted: float
    counted_up_to: float | None
    power: float
    needed: int | None


def analyse_power(moments: OutcomeMoments, treated: int, held_out: int, share: float, alpha: float) -> PowerAnalysis:
    """Analyses a comparison of two means by its first three moments.

    Args:
        moments: The outcome.
        treated: Number of customers with the action.
        held_out: Number of held-out customers.
        share: Share of the customers that is held out.
        alpha: Two-sided significance level.

    Returns:
        Smallest detectable effect, power and customers needed.

    >>> analysis = analyse_power(OutcomeMoments(0.5, 0.5, 0.5, 0.0, 0.05, 0.05), 1000, 1000, 0.5, 0.05)
    >>> round(analysis.detects, 4), round(analysis.power, 3), analysis.needed
    (0.0626, 0.609, 3140)
    """
    known = (moments.deviation, moments.expected, moments.counted, moments.cap)
    if not treated or not held_out:
        return PowerAnalysis(known[0], np.inf, *known[1:], 0.0, None)
    if not moments.deviation:
        return PowerAnalysis(known[0], 0.0, *known[1:], float(moments.counted != 0), None)
    skewness = _skewness(moments, treated, held_out)
    reach = -pearson_quantile(alpha / 2, -skewness) - pearson_quantile(1 - POWER, skewness)
    detects = reach * moments.deviation * float(np.sqrt(1 / treated + 1 / held_out))
    power = _power(moments, treated, held_out, alpha) if moments.counted else 0.0
    return PowerAnalysis(known[0], detects, *known[1:], power, _needed(moments, share, alpha))


def holdout_power(table: pa.Table, actions: list[str], share: float, spread: float | None, seed: int) -> dict[str, Any]:
    """Analyses the power of a plan's holdout, for all actions together and for each.

    Args:
        table: The rows of the plan.
        actions: Names of the actions.
        share: Share of the eligible customers that is held out.
        spread: Relative variance of buyers' spend; None if unknown.
        seed: Seed of the simulated outcomes.

    Returns:
        The analyses, ready for JSON; null where nothing is known.
    """
    would_have = np.array(table["would_have"].to_pylist(), object)
    together = would_have != None  # noqa: E711 (elementwise)
    facts: dict[str, Any] = {"alpha": ALPHA, "power": POWER, "spread": spread}
    facts["all"] = _group_power(table, together, share, spread, ALPHA, seed)
    alpha = ALPHA / max(len(actions), 1)  # Bonferroni correction for testing several actions
    facts["actions"] = {name: _group_power(table, would_have == name, share, spread, alpha, seed) for name in actions}
    return facts


def simulate_moments(
    scores: dict[str, np.ndarray], holdout: np.ndarray, spread: float | None, seed: int
) -> dict[str, OutcomeMoments]:
    """Simulates the outcomes of a group, and returns their moments.

    Args:
        scores: churn_probability, value, value_at_risk, effect_return and effect_value (n,) of each customer.
        holdout: Whether each customer (n,) is held out.
        spread: Relative variance of the spend of all buyers; None if unknown.
        seed: Seed of the simulation.

    Returns:
        return and, if value and spread are known, value.
    """
    rng, n = np.random.default_rng(seed), len(holdout)
    repeats = int(np.clip(SIMULATED // n, FEWEST_REPEATS, MOST_REPEATS))
    without = 1 - scores["churn_probability"]
    with_action = np.clip(without + np.nan_to_num(scores["effect_return"]), 0, 1)
    draws = rng.random((n, repeats))
    returned = [draws < p[:, None] for p in (without, with_action)]
    design = np.column_stack([scores["churn_probability"], np.nan_to_num(scores["value"])])
    expected = float(np.nan_to_num(scores["effect_return"])[~holdout].mean())
    moments = {"return": _moments([each.astype(float) for each in returned], holdout, design, expected)}
    if spread is not None and not np.isnan(scores["value"]).any():
        value, more = scores["value"], np.nan_to_num(scores["effect_value"])
        means = [np.divide(total, p, out=np.zeros(n), where=p > 0) for total, p in
                 ((value, without), (np.maximum(value + more, 0), with_action))]  # fmt: skip
        means[0] = np.where(without > 0, means[0], scores["value_at_risk"])
        noise = _spend_noise(without, means[0], spread, (n, repeats), rng)
        outcomes = [each * mean[:, None] * noise for each, mean in zip(returned, means, strict=True)]
        design = np.column_stack([design, np.log1p(np.maximum(value, 0) / max(float(np.median(value)), 1e-9))])
        moments["value"] = _moments(outcomes, holdout, design, float(more[~holdout].mean()), capped=True)
    return moments


def _spend_noise(
    returns: np.ndarray, means: np.ndarray, spread: float, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Log-normal factors with mean 1, by which the spend of all buyers has the relative variance `spread`."""
    total = max(float((returns * means).sum()), 1e-300)
    between = float((returns * means**2).sum()) * float(returns.sum()) / total**2 - 1
    within = np.log1p(max((1 + spread) / (1 + max(between, 0.0)) - 1, 0.0))
    return np.asarray(np.exp(np.sqrt(within) * rng.standard_normal(shape) - within / 2))


def _moments(
    outcomes: list[np.ndarray], holdout: np.ndarray, design: np.ndarray, expected: float, capped: bool = False
) -> OutcomeMoments:
    """Moments of simulated outcomes (n, repeats) without and with the action."""
    observed = np.where(holdout[:, None], outcomes[0], outcomes[1])
    caps = (
        np.array([count_up_to_cap(column)[1] for column in observed.T])
        if capped
        else np.full(observed.shape[1], np.inf)
    )
    counted = [np.minimum(each, caps) for each in outcomes]
    strata = np.zeros(len(holdout), int)
    rest = [remove_covariates(each, design, strata) for each in (np.minimum(observed, caps), *counted)]
    together, without, with_action = (float(np.sqrt(each.var(axis=0).mean())) for each in rest)
    centred = rest[0] - rest[0].mean(axis=0)
    skewness = float((centred**3).mean()) / together**3 if together else 0.0
    effect = float((counted[1] - counted[0])[~holdout].mean())
    cap = float(np.median(caps)) if capped and np.isfinite(caps).all() else None
    return OutcomeMoments(together, without, with_action, skewness, expected, effect, cap)


def _skewness(moments: OutcomeMoments, treated: float, held_out: float) -> float:
    """Skewness of the difference of means: that of the smaller group counts, with its sign."""
    n = treated + held_out
    return moments.skewness * (held_out - treated) / float(np.sqrt(treated * held_out * n))


def _power(moments: OutcomeMoments, treated: float, held_out: float, alpha: float) -> float:
    """Probability that the comparison of groups of these sizes detects the counted effect."""
    skewness = _skewness(moments, treated, held_out)
    assumed = moments.deviation * np.sqrt(1 / treated + 1 / held_out)  # by the pooled variance
    actual = np.sqrt(moments.treated**2 / treated + moments.held_out**2 / held_out)
    low, high = pearson_quantile(alpha / 2, skewness), -pearson_quantile(alpha / 2, -skewness)
    above = pearson_tail(float((high * assumed - moments.counted) / actual), skewness)
    below = pearson_tail(float(-(low * assumed - moments.counted) / actual), -skewness)
    return above + below


def _needed(moments: OutcomeMoments, share: float, alpha: float) -> int | None:
    """The fewest customers with which the counted effect has the power POWER; None if there is no such number."""
    if not moments.counted or not 0 < share < 1:
        return None
    few, many = 2.0, MOST_NEEDED
    if _power(moments, many * (1 - share), many * share, alpha) < POWER:
        return None
    while many / few > 1 + 1e-9:
        middle = float(np.sqrt(few * many))
        enough = _power(moments, middle * (1 - share), middle * share, alpha) >= POWER
        few, many = (few, middle) if enough else (middle, many)
    return int(np.ceil(many))


def _group_power(
    table: pa.Table, group: np.ndarray, share: float, spread: float | None, alpha: float, seed: int
) -> dict[str, Any]:
    """The analyses of one group of a plan's rows.

    Args:
        table: The rows of the plan.
        group: Which rows belong to it.
        share: Share of the eligible customers that is held out.
        spread: Relative variance of buyers' spend; None if unknown.
        alpha: Two-sided significance level.
        seed: Seed of the simulated outcomes.

    Returns:
        Numbers of customers, and an analysis of each outcome or None.
    """
    holdout = table["holdout"].to_numpy()
    treated, held_out = int((group & ~holdout).sum()), int((group & holdout).sum())
    facts: dict[str, Any] = {
        "with_action": treated,
        "held_out": held_out,
        "alpha": alpha,
        "return": None,
        "value": None,
    }
    if not treated:
        return facts
    columns = ("churn_probability", "value", "value_at_risk", "effect_return", "effect_value")
    scores = {name: _floats(table[name])[group] for name in columns}
    for outcome, moments in simulate_moments(scores, holdout[group], spread, seed).items():
        facts[outcome] = _to_json(analyse_power(moments, treated, held_out, share, alpha))
    return facts


def _to_json(analysis: PowerAnalysis) -> dict[str, Any]:
    """As JSON, which has neither infinity nor nan."""
    return {name: v if v is not None and np.isfinite(v) else None for name, v in asdict(analysis).items()}


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.float64()).fill_null(np.nan).to_numpy())

"""What is believed of each action now: its effect, and the probability that it is worth its cost.

The effects of measured campaigns, and the average effects of the newest uplift model, enter one posterior
(`serving.effects.posterior`) as shares of the outcome without an action. The gain of a contact is margin x effect on
value - cost; without money it is the effect on returning. Its distribution is taken to be normal. Doses of one action
are on their common curve (`serving.effects.pooled_doses`). Where the model's figures are a posterior already, no other
prior is put on them: later campaigns are added to them by their precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from features.config.plan import PlanAction
from features.outputs.manifests import Measurement, UpliftManifest
from serving.effects.dose_response import fit_dose_curve
from serving.effects.effect_table import RETURN, VALUE
from serving.effects.past_effects import effect_rows
from serving.effects.pooled_doses import families_of_doses
from serving.effects.posterior import PosteriorEffects, posterior_effects

STANDARD = NormalDist()
MEASURED = "measured"  # the source of effects that were learned from randomised contacts
MODEL_WEIGHT = 1e6  # of the model's mean outcome, in customers held out: it comes first


@dataclass(frozen=True)
class ActionBelief:
    """What is believed of one action; effects are per customer in the unit of `outcome`.

    Attributes:
        action: Its name.
        outcome: 'value' (money), or 'return' (a share) if plans are not about money.
        cost: Its cost for one customer.
        campaigns: From how many measurements its own effect is known; 0: from other actions and the prior alone.
        effect, low, high: Posterior mean, and the ends of its credible interval; None if nothing was ever measured.
        interval: The probability that the interval holds the effect.
        gain: Expected gain of a contact.
        gain_error: Its posterior standard deviation.
        worth: The probability that the gain of a contact is above 0.
        observational: Whether all of this comes from contacts that were not randomised: an estimate, not evidence.
    """

    action: str
    outcome: str
    cost: float
    campaigns: int
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    interval: float = 0.8
    gain: float | None = None
    gain_error: float | None = None
    worth: float | None = None
    observational: bool = False

    @property
    def price_of_not_knowing(self) -> float:
        """How much a contact would gain on average if it were known whether the action pays.

        It is the expected value of perfect information: s (phi(z) - z Phi(-z)) with z = |mean| / s (Raiffa and
        Schlaifer, Applied Statistical Decision Theory, 1961).

        >>> belief = ActionBelief("mail", "value", 0.5, 1, gain=0.0, gain_error=1.0)
        >>> round(belief.price_of_not_knowing, 3)
        0.399
        """
        if self.gain is None or not self.gain_error:
            return 0.0
        z = abs(self.gain) / self.gain_error
        return self.gain_error * (STANDARD.pdf(z) - z * STANDARD.cdf(-z))


@dataclass(frozen=True)
class _Shares:
    """Effects as shares of the outcome: (k,) the action's place, the effect and its error; and the outcome's mean.

    `posterior` has the places of actions whose first effect is a posterior.
    """

    places: list[int]
    effects: list[float]
    errors: list[float]
    base: float
    posterior: frozenset[int]


def believe_actions(
    actions: Mapping[str, PlanAction],
    margin: float | None,
    measured: Sequence[tuple[str, Measurement]],
    uplift: UpliftManifest | None,
    interval: float,
) -> tuple[ActionBelief, ...]:
    """Compute what is believed of each action.

    Args:
        actions: The actions of the plan.
        margin: Share of value that is profit; None: plans are about returning, not about money.
        measured: The measured campaigns by name, each with outcomes complete and groups as randomised.
        uplift: The newest effects of the uplift model; campaigns that it learned from are not counted twice. If they
            are observational, they are no evidence, and are shown of actions that were never measured, marked.
        interval: The probability that credible intervals hold.

    Returns:
        One belief an action, in their order.
    """
    if uplift is not None and uplift.source != MEASURED:
        proven = believe_actions(actions, margin, measured, None, interval)
        claimed = believe_actions(actions, margin, (), uplift.model_copy(update={"source": MEASURED}), interval)
        return tuple(
            replace(c, campaigns=0, observational=True) if not p.campaigns and c.campaigns else p
            for p, c in zip(proven, claimed, strict=True)
        )
    outcome, names = RETURN if margin is None else VALUE, list(actions)
    shares = _shares(names, outcome, measured, uplift)
    if not shares.places or shares.base <= 0:
        return tuple(ActionBelief(name, outcome, actions[name].cost, 0, interval=interval) for name in names)
    places = np.array(shares.places, int)
    count = max(int(places.max()) + 1, len(names))
    posterior = posterior_effects(places, np.array(shares.effects), np.array(shares.errors), count)
    known = {name: (float(posterior.mean[p]), float(posterior.deviation[p])) for p, name in enumerate(names)}
    known |= {name: _sum_of_evidence(shares, place) for place, name in enumerate(names) if place in shares.posterior}
    known |= _on_dose_curves(actions, names, posterior)
    counts = np.bincount(places, minlength=len(names))
    return tuple(
        _belief(
            ActionBelief(name, outcome, actions[name].cost, int(counts[place]), interval=interval),
            shares.base * known[name][0],
            shares.base * known[name][1],
            margin,
        )
        for place, name in enumerate(names)
    )


def _belief(unknown: ActionBelief, mean: float, error: float, margin: float | None) -> ActionBelief:
    """The belief in an action whose effect has this posterior mean and deviation."""
    reach = STANDARD.inv_cdf(0.5 + unknown.interval / 2) * error
    gain, gain_error = (mean, error) if margin is None else (margin * mean - unknown.cost, margin * error)
    worth = STANDARD.cdf(gain / gain_error) if gain_error > 0 else float(gain > 0)
    return replace(
        unknown, effect=mean, low=mean - reach, high=mean + reach, gain=gain, gain_error=gain_error, worth=worth
    )


def _sum_of_evidence(shares: _Shares, place: int) -> tuple[float, float]:
    """Mean and deviation of an action by its posterior and the campaigns after it, weighted by their precision."""
    own = np.array(shares.places) == place
    weights = 1 / np.array(shares.errors)[own] ** 2
    return float(np.average(np.array(shares.effects)[own], weights=weights)), float(weights.sum() ** -0.5)


def _on_dose_curves(
    actions: Mapping[str, PlanAction], names: Sequence[str], posterior: PosteriorEffects
) -> dict[str, tuple[float, float]]:
    """Mean and deviation of doses of one action, by the curve through those that were measured, as a plan has them."""
    found: dict[str, tuple[float, float]] = {}
    for family in families_of_doses(actions):
        tried = [name for name in family if np.isfinite(posterior.error[names.index(name)])]
        doses = [actions[name].depth or 0.0 for name in tried]
        if len(set(doses)) < 2:
            continue
        places = [names.index(name) for name in tried]
        curve = fit_dose_curve(doses, posterior.estimate[places].tolist(), posterior.error[places].tolist())
        found |= {name: curve.at(dose) for name in family if curve.covers(dose := actions[name].depth or 0.0)}
    return found


def _shares(
    names: Sequence[str], outcome: str, measured: Sequence[tuple[str, Measurement]], uplift: UpliftManifest | None
) -> _Shares:
    """All estimates of one outcome; actions that the config no longer has help to pool, behind the others."""
    known = {name: place for place, name in enumerate(names)}
    places, effects, errors, bases, weights = list[int](), list[float](), list[float](), list[float](), list[float]()
    posterior = set[int]()
    for action, by_outcome in (uplift.evidence if uplift else {}).items():
        each = by_outcome.get(outcome, {})
        base, error = each.get("base", 0.0), each.get("error", 0.0)
        if base > 0 and error > 0:
            places.append(known.setdefault(action, len(known)))
            posterior |= {places[-1]} if each.get("posterior") else set()
            effects.append(each["average"] / base)
            errors.append(error / base)
            bases.append(base)
            weights.append(MODEL_WEIGHT)
    learned = uplift.plans if uplift else ()
    for name, measurement in measured:
        for row in effect_rows(measurement, outcome) if name not in learned else ():
            places.append(known.setdefault(row["action"], len(known)))
            effects.append(row["effect"] / row["mean_held"])
            errors.append(row["error"] / row["mean_held"])
            bases.append(row["mean_held"])
            weights.append(float(row["held"]))
    base = float(np.average(bases, weights=weights)) if bases else 0.0
    return _Shares(places, effects, errors, base, frozenset(posterior))

"""Lists the plans of an output folder with what each promised and brought, and what is believed of each action."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from features.campaigns.live_plans import PlanOnDisk, newest_plans_first
from features.config.load import Config
from features.errors import DataError
from features.intake.log import Business, config_of
from features.outputs.layout import MEASUREMENT, PLAN_MANIFEST, UPLIFT_MANIFEST
from features.outputs.manifests import Measurement, PlanManifest, UpliftManifest, read_manifest
from features.storage.json_files import read_json
from serving.effects.action_beliefs import ActionBelief, believe_actions
from serving.effects.effect_table import RETURN, VALUE
from serving.effects.past_effects import effect_rows
from serving.optimizer.shared_budget import gain_at, share_budget

LOG = logging.getLogger(__name__)
WAITING, DUE, EARLY, MEASURED, SUPERSEDED = "waiting", "due", "measured early", "measured", "superseded"
BROKEN = (DataError, OSError, AttributeError, IndexError, KeyError, TypeError, ValueError)  # of a damaged file
CURVE_JSON = "curve.json"
ALL, MONEY = "all", "margin"  # as measurements and plans name them; their modules take seconds to import
RESPONSES = ("opened", "clicked", "converted")
Interval = tuple[float, float, float]  # the estimate, and the ends of its interval


@dataclass(frozen=True)
class Campaign:
    """One plan and what came of it; money is after costs, and customers kept if the log has none.

    Attributes:
        name: 'CUTOFF/CAMPAIGN', as commands name it.
        cutoff, campaign: The two parts of the name.
        status: 'waiting' (until `matures`), 'due' (can be measured), 'measured early' (outcomes are not complete),
            'measured', or 'superseded'.
        superseded_by: The campaign that took its place; empty: it is live.
        matures: The day when its horizon is over.
        money: Whether gains are money.
        customers: How many get an action.
        held_out: How many eligible customers are held out.
        contacted: How many of them received their action; None if not measured.
        budget, spent: Most money to spend, and what the plan spends.
        cost: What the contacts cost; None if not measured.
        promised, promised_low, promised_high: Expected gain, with its credible interval (None if unknown).
        assumed: Whether effects were assumed.
        gained, gained_low, gained_high: Measured gain, with its 95% confidence interval (None if unknown).
        valid: Whether something is learned from it (`Measurement.refused_because`); None if not measured.
        next_unit: What the next unit of money would have brought.
        responses: Contacts with a known answer and how many were opened, clicked and converted; empty if unknown.
        unmeasurable: The actions with too few customers held out.
        arms: The arms of an experiment; empty for other plans.
        pilot: Whether it is the pilot of a business without evidence.
    """

    name: str
    cutoff: date
    campaign: str
    status: str
    superseded_by: str
    matures: date
    money: bool
    customers: int
    held_out: int
    contacted: int | None
    budget: float
    spent: float
    cost: float | None
    promised: float
    promised_low: float | None
    promised_high: float | None
    assumed: bool
    gained: float | None
    gained_low: float | None
    gained_high: float | None
    valid: bool | None
    next_unit: float | None
    responses: Mapping[str, int]
    unmeasurable: tuple[str, ...]
    arms: tuple[str, ...] = ()
    pilot: bool = False

    @property
    def has_holdout(self) -> bool:
        """Whether anybody is held out, so that it can be measured what actions change."""
        return self.held_out > 0

    @property
    def comparable(self) -> bool:
        """Whether the plan can be measured: somebody is held out, or arms can be compared."""
        return self.has_holdout or bool(self.arms)


@dataclass(frozen=True)
class SharedMoney:
    """How several live plans of one cutoff would best share the money that they spend.

    Attributes:
        budgets: The money of each plan, by its name.
        price: What the next unit of money then brings in each.
        more: How much more they would gain together than now, by their curves.
    """

    budgets: Mapping[str, float]
    price: float
    more: float


@dataclass(frozen=True)
class CampaignOverview:
    """All campaigns of a business.

    Attributes:
        business: Its name.
        campaigns: The newest cutoff first, and the live plan of a cutoff first.
        beliefs: What is believed of each action of [plan.actions].
        unread: Plans that cannot be read, and why.
        experiments: The measurements of experiments that are evidence, by name, newest first.
        refused: The measurements from which nothing is learned, by name.
        shared: How the live plans of the newest cutoff would best share what they spend, by one price of money; None
            if there are fewer than two.
    """

    business: str
    campaigns: tuple[Campaign, ...]
    beliefs: tuple[ActionBelief, ...]
    unread: Mapping[str, str]
    shared: SharedMoney | None = None
    experiments: Mapping[str, Measurement] = field(default_factory=dict)
    refused: Mapping[str, Measurement] = field(default_factory=dict)

    @property
    def money(self) -> bool:
        """Whether beliefs are about money; otherwise about returning."""
        return not self.beliefs or self.beliefs[0].outcome == "value"

    @property
    def interval(self) -> float:
        """The probability of the beliefs' intervals."""
        return self.beliefs[0].interval if self.beliefs else 0.0


def list_campaigns(business: Business) -> CampaignOverview:
    """List all plans in the output folder of a business, and what is believed of each action now.

    Only the output folder is read, not the log.

    Args:
        business: An opened log, a config, or the path of a config.

    Returns:
        The overview; nothing in it if there is no plan.

    Raises:
        UsageError: The config cannot be read.
    """
    config = config_of(business)
    found, unread = list[_Found](), dict[str, str]()
    for place in newest_plans_first(config):
        try:
            found.append(_read(place))
        except BROKEN as problem:
            unread[place.name] = str(problem)
    measured = {each.place.name: each.measured for each in found if each.measured is not None}
    today = _last_known_day(config, list(measured.values()))
    campaigns = tuple(_campaign(each.place, each.facts, each.measured, today) for each in found)
    usable = [(name, each) for name, each in measured.items() if each.mature and not each.refused_because]
    experiments = {name: each for name, each in measured.items() if each.experiment and not each.refused_because}
    refused = {name: each for name, each in measured.items() if each.refused_because}
    return CampaignOverview(
        config.name, campaigns, _beliefs(config, usable), unread, _shared(config, campaigns), experiments, refused
    )


@dataclass(frozen=True)
class _Found:
    """A plan on disk with its manifest and its measurement, which both can be used."""

    place: PlanOnDisk
    facts: PlanManifest
    measured: Measurement | None


def _read(place: PlanOnDisk) -> _Found:
    """Reads a plan; raises one of BROKEN if what it holds cannot be shown."""
    facts, measured = read_manifest(place.folder / PLAN_MANIFEST, PlanManifest), None
    if (place.folder / MEASUREMENT).is_file():
        measured = read_manifest(place.folder / MEASUREMENT, Measurement)
        date.fromisoformat(str(measured.log.get("end", facts.cutoff)))
        for outcome in (RETURN, VALUE):
            list(effect_rows(measured, outcome))
    _campaign(place, facts, measured, facts.cutoff)
    return _Found(place, facts, measured)


def _shared(config: Config, campaigns: Sequence[Campaign]) -> SharedMoney | None:
    """One price of money for the live plans of the newest cutoff that are not measured yet."""
    newest = max((each.cutoff for each in campaigns), default=None)
    live = [each for each in campaigns if each.cutoff == newest and each.status in (WAITING, DUE)]
    curves = {each.name: _curve(config, each) for each in live}
    if len(live) < 2 or not all(curves.values()):
        return None
    best = share_budget(curves, sum(each.spent for each in live))
    now = sum(gain_at(curves[each.name], each.spent) for each in live)
    return SharedMoney(best.budgets, best.price, max(best.gain - now, 0.0))


def _curve(config: Config, campaign: Campaign) -> list[tuple[float, float]]:
    """The points (budget, gain) of a plan's curve; none if they cannot be read."""
    path = config.outputs.plan(campaign.cutoff, campaign.campaign) / CURVE_JSON
    try:
        rows = read_json(path, "run `regulars plan` again")
        return [(float(row["budget"]), float(row["gain"])) for row in rows]
    except (DataError, OSError, KeyError, TypeError, ValueError) as problem:
        LOG.warning("%s", problem)
        return []


def _beliefs(config: Config, usable: Sequence[tuple[str, Measurement]]) -> tuple[ActionBelief, ...]:
    if config.plan is None:
        return ()
    margin = config.plan.margin if config.has_value else None
    return believe_actions(config.plan.actions, margin, usable, _newest_uplift(config), config.serving.interval)


def _newest_uplift(config: Config) -> UpliftManifest | None:
    """The manifest of the newest estimated effects; None if there are none, or they cannot be read."""
    for cutoff in reversed(config.outputs.uplift_cutoffs()):
        try:
            return read_manifest(config.outputs.uplift(cutoff) / UPLIFT_MANIFEST, UpliftManifest)
        except (DataError, OSError) as problem:
            LOG.warning("%s", problem)
    return None


def _last_known_day(config: Config, measured: Sequence[Measurement]) -> date | None:
    """The newest day of which the output folder knows: the newest scored cutoff, or the end of a measured log."""
    ends = [date.fromisoformat(str(each.log["end"])) for each in measured if "end" in each.log]
    return max([*config.outputs.scored_cutoffs(), *ends], default=None)


def _campaign(
    place: PlanOnDisk, facts: PlanManifest, measured: Measurement | None, today: date | None
) -> Campaign:  # fmt: skip
    matures = facts.cutoff + timedelta(facts.horizon_days)
    money = facts.objective == MONEY
    gained = _gained(measured, money)
    exposure = measured.exposure.values() if measured else ()
    return Campaign(
        name=place.name,
        cutoff=facts.cutoff,
        campaign=facts.campaign,
        status=_status(place, measured, matures, today),
        superseded_by=place.superseded_by,
        matures=matures,
        money=money,
        customers=facts.customers.get("with_action", 0),
        held_out=facts.customers.get("held_out", 0),
        contacted=sum(int(each.get("got", 0)) for each in exposure) if measured else None,
        budget=facts.budget,
        spent=facts.spent,
        cost=_cost(measured),
        promised=facts.gain,
        promised_low=facts.gain_low,
        promised_high=facts.gain_high,
        assumed=facts.assumed,
        gained=gained[0],
        gained_low=gained[1],
        gained_high=gained[2],
        valid=None if measured is None else not measured.refused_because,
        next_unit=_number(facts.prices.get("budget")),
        responses=_responses(measured),
        unmeasurable=tuple(facts.unmeasurable),
        arms=tuple(facts.experiment["order"]) if facts.experiment else (),
        pilot=bool(facts.experiment and facts.experiment["pilot"]),
    )


def _status(place: PlanOnDisk, measured: Measurement | None, matures: date, today: date | None) -> str:
    if measured is not None:
        return MEASURED if measured.mature else EARLY
    if place.superseded_by:
        return SUPERSEDED
    return DUE if today is not None and matures <= today else WAITING


def _gained(measured: Measurement | None, money: bool) -> tuple[float | None, float | None, float | None]:
    """The measured gain in all with its confidence interval; None where it is unknown."""
    figures: Mapping[str, Any] = measured.returns.get(ALL, {}) if measured else {}
    ends = figures.get("gain" if money else "more_return") or (None, None, None)
    return _number(ends[0]), _number(ends[1]), _number(ends[2])


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _cost(measured: Measurement | None) -> float | None:
    cost = measured.returns.get(ALL, {}).get("cost") if measured else None
    return _number(cost)


def _responses(measured: Measurement | None) -> dict[str, int]:
    """The answers to the contacts of all actions together; only those that the log records."""
    rows = list((measured.responses if measured else {}).values())
    keys = [key for key in ("contacts", *RESPONSES) if any(key in row for row in rows)]
    return {key: sum(int(row.get(key, 0)) for row in rows) for key in keys}

"""The section [segments]: the groups of customers and their rules."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from features.config.rfm_rules import BUILT_IN_VERSION, EARLIER_VERSION, RENAMED, RULES, groups_by_scores, suggest_name
from features.config.sections import Duration, Section

RuleTexts = Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)]
LIFECYCLE_STAGES = ("new", "growing", "mature", "declining", "dormant", "lost")  # of the customer lifecycle
TIERS = ("high", "middle", "low")
SEGMENTS = ("save first", "let go", "keep", "grow", "maintain")


class SegmentsConfig(Section):
    """[segments]: the groups of customers, and their rules."""

    version: str = Field(
        BUILT_IN_VERSION,
        min_length=1,
        max_length=40,
        description="version of the rules, written beside their results; your own rules need their own version",
    )
    rfm: dict[str, RuleTexts] = Field(
        dict(RULES), description="groups by RFM scores, each with one rule or a list of rules, such as 'r 4-5, fm 2-3'"
    )
    treatments: dict[str, str] = Field({}, description="recommended treatment of customers, by the name of the group")
    window: Duration | None = Field(
        None, description="window of frequency, money, preferences and pairs, one of [task] windows; empty: the longest"
    )
    history: int = Field(
        4, ge=0, le=60, description="number of earlier dates for which transitions between groups are computed"
    )
    every: Duration | None = Field(None, description="time between these dates; empty: the horizon")
    confidence: float = Field(
        0.9,
        gt=0.5,
        lt=1,
        description="required confidence that a customer's purchase rate changed, to call the customer growing "
        "or declining",
    )
    clusters: tuple[int, int] = Field((3, 8), description="minimum and maximum number of micro-segments; [0, 0]: none")
    kinds: tuple[str, ...] | None = Field(
        None, description="kinds of [events] for preferences, lifecycles and pairs; empty: all"
    )
    preference_orders: int = Field(3, ge=1, description="minimum orders with a value for a customer to prefer it")
    preference_share: float = Field(
        0.5, gt=0, le=1, description="minimum share of orders with a value for a customer to prefer it"
    )
    support: float = Field(
        0.01, gt=0, lt=1, description="minimum share of baskets that contain a pair, for the pair to be analysed"
    )

    @model_validator(mode="before")
    @classmethod
    def _migrate(cls, given: Any) -> Any:
        """Read the names and the version of the built-in rules of earlier versions."""
        if not isinstance(given, dict) or "rfm" in given:
            return given
        treatments = given.get("treatments")
        if isinstance(treatments, dict):
            given = {**given, "treatments": {RENAMED.get(name, name): text for name, text in treatments.items()}}
        return {**given, "version": BUILT_IN_VERSION} if given.get("version") == EARLIER_VERSION else given

    @model_validator(mode="after")
    def _check(self) -> SegmentsConfig:
        groups_by_scores(self.rfm)
        wrong = [name for name in self.rfm if not name.strip() or len(name) > 40]
        if wrong:
            raise ValueError(f"rfm: the name of a group has 1 to 40 characters, found {wrong[0]!r}")
        if (self.rfm == RULES) != (self.version == BUILT_IN_VERSION):
            own = f"version {BUILT_IN_VERSION!r} is that of the built-in rules: give your own rules another version"
            raise ValueError(
                own if self.version == BUILT_IN_VERSION else "the rules are the built-in ones: remove version"
            )
        known = [*self.rfm, *LIFECYCLE_STAGES, *TIERS, *SEGMENTS]
        for name in self.treatments:
            if name not in known:
                raise ValueError(f"treatments names {name!r}, which is not a group; {suggest_name(name, known)}")
        fewest, most = self.clusters
        if self.clusters != (0, 0) and not 2 <= fewest <= most <= 20:
            raise ValueError(f"clusters: expected [fewest, most] between 2 and 20, found [{fewest}, {most}]")
        return self

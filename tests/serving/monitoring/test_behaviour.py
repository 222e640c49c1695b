"""Behaviour that changed is told from chance, from seasons, and from what is too small to matter."""

from __future__ import annotations

import numpy as np
import pytest

from features.audit.behaviour_profile import BehaviourProfile, PeriodRates
from features.config.monitor import MonitorConfig
from serving.language.messages import get_language
from serving.monitoring.behaviour import behaviour_checks, usual_limits
from serving.monitoring.findings import data_findings
from serving.monitoring.log_health import LogCheck

TR, RULES = get_language("en"), MonitorConfig()


def rates(*newest: float, error: float = 0.01, before: float = 0.2, periods: int = 12) -> PeriodRates:
    values = np.array([*newest, *[before] * periods])
    return PeriodRates(values, np.full(len(values), error))


def checks(**figures: PeriodRates) -> dict[str, LogCheck]:
    given = {"away": rates(), "amount": rates(), "shares": rates(), **figures}
    profile = BehaviourProfile(given["away"], given["amount"], {("category", "toys"): given["shares"]})
    return {check.name: check for check in behaviour_checks(profile, RULES, TR)}


def test_an_unchanged_business_is_usual() -> None:
    assert all(check.ok and check.low is not None for check in checks().values())
    assert list(checks()) == ["away", "order_amount", "value_share:category:toys"]


@pytest.mark.parametrize("figure", ["away", "amount", "shares"])
def test_a_change_of_a_tenth_is_found_and_named(figure: str) -> None:
    wrong = [check for check in checks(**{figure: rates(0.22)}).values() if not check.ok]
    (finding,) = data_findings(wrong, TR)
    assert finding.action == "recalibrate" and finding.title.startswith("Customers behave differently: ")
    assert "in the last 28 days" in finding.title


def test_two_periods_together_show_what_one_does_not() -> None:
    one, two = rates(0.214, error=0.03), rates(0.214, 0.214, error=0.03)
    assert usual_limits(one, 1, 0.02, 0.05)[2] > 0.214 > usual_limits(two, 2, 0.02, 0.05)[2]  # type: ignore[index]


def test_a_change_too_small_to_matter_is_usual_however_sure() -> None:
    assert checks(away=rates(0.208, error=1e-5))["away"].ok
    assert not checks(away=rates(0.212, error=1e-5))["away"].ok


def test_a_few_lines_of_a_small_category_are_usual_and_many_are_not() -> None:
    for before, now, usual in (
        (0.02, 0.0165, True),
        (0.02, 0.0245, True),
        (0.02, 0.0135, False),
        (0.02, 0.0255, False),
    ):
        assert checks(shares=rates(now, before=before, error=1e-4))["value_share:category:toys"].ok == usual
    vanishing = [checks(shares=rates(0.004 * part, before=0.004, error=1e-4)) for part in (0.7, 0.6, 1.4, 1.6)]
    assert [found["value_share:category:toys"].ok for found in vanishing] == [True, False, True, False]
    assert not checks(amount=rates(0.0225, before=0.02, error=1e-4))["order_amount"].ok


def test_a_business_with_seasons_has_wider_limits() -> None:
    season = 0.2 * (1 + 0.2 * np.cos(np.arange(26) * 2 * np.pi / 13))
    found = checks(away=PeriodRates(season, np.full(26, 0.01)))["away"]
    assert found.ok and found.high is not None and found.high > 0.26


def test_too_little_history_says_so() -> None:
    check = checks(away=rates(0.9, periods=5))["away"]
    assert check.ok and check.low is None and "too little history" in check.note


def test_missing_days_are_told_instead_of_who_stays_away() -> None:
    silent = LogCheck("silent_days", "days", 9.0, 0.0, 1.0, False)
    wrong = [silent, *(check for check in checks(away=rates(0.4)).values() if not check.ok)]
    assert [finding.key for finding in data_findings(wrong, TR)] == ["data:silent_days"]


def test_false_alarms_are_as_rare_as_the_config_says() -> None:
    rng = np.random.default_rng(1)
    drawn = [PeriodRates(0.2 * np.exp(rng.normal(0, 0.03, 20)), np.full(20, 0.03)) for _ in range(2000)]
    found = [(limits := usual_limits(one, 1, 0.05, 1e-6)) and not limits[1] <= limits[0] <= limits[2] for one in drawn]
    assert 0.01 < np.mean(found) < 0.06

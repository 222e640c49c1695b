"""What to try next, by a stated rule.

1. Without a plan: make one.
2. A plan whose outcomes are complete, newer than all measured ones: measure it.
3. No plan has a holdout: hold some customers out, since nothing can be learned otherwise.
4. An action may or may not pay (the probability lies between 5% and 95%), was never tried while others were, or is
   known from observational contacts only: test the one for which not knowing costs most (the expected value of perfect
   information of a contact).
5. No action was ever measured: wait for the first outcomes.
6. Otherwise there is enough evidence: go on with the action that gains most, or stop if none pays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from serving.campaigns.overview import DUE, EARLY, MEASURED, SUPERSEDED, WAITING, CampaignOverview
from serving.effects.action_beliefs import ActionBelief

ENOUGH = 0.95  # probability that an action pays, or that it does not, from which on no further test is needed
PLAN, MEASURE, HOLD_OUT, WAIT, TEST, GO_ON, STOP = "plan", "measure", "hold out", "wait", "test", "go on", "stop"
PAYS, DOES_NOT_PAY, UNDECIDED, NEVER_MEASURED = "pays", "does not pay", "undecided", "never measured"
OBSERVATIONAL = "observational"


OPEN = (UNDECIDED, NEVER_MEASURED, OBSERVATIONAL)  # verdicts that a test may settle


@dataclass(frozen=True)
class CampaignStep:
    """What to try next.

    Attributes:
        kind: 'plan', 'measure', 'hold out', 'wait', 'test', 'go on' or 'stop'.
        campaign: The plan that it is about; empty if none.
        action: The action that it is about; empty if none.
        day: Until when to wait; empty if nothing is waited for.
    """

    kind: str
    campaign: str = ""
    action: str = ""
    day: str = ""


def choose_next_step(overview: CampaignOverview) -> CampaignStep:
    """Choose what to try next by the rule above."""
    current = [each for each in overview.campaigns if each.status != SUPERSEDED]
    last = max((each.cutoff for each in current if each.status == MEASURED), default=date.min)
    due = [each for each in current if each.status == DUE and each.comparable and each.customers]
    due = [each for each in due if each.cutoff > last]
    if not current:
        return CampaignStep(PLAN)
    if due:
        return CampaignStep(MEASURE, due[-1].name)  # the oldest
    if not any(each.comparable for each in current):
        return CampaignStep(HOLD_OUT)
    open_ones = [each for each in overview.beliefs if each.worth is not None and verdict(each) in OPEN]
    if open_ones:
        return CampaignStep(TEST, action=max(open_ones, key=lambda each: each.price_of_not_knowing).action)
    known = [each for each in overview.beliefs if each.gain is not None]
    if not known:
        waiting = [each for each in current if each.status in (WAITING, EARLY)]
        return CampaignStep(WAIT, waiting[-1].name, day=str(waiting[-1].matures)) if waiting else CampaignStep(PLAN)
    best = max(known, key=lambda each: each.gain or 0.0)
    return CampaignStep(GO_ON, action=best.action) if verdict(best) == PAYS else CampaignStep(STOP)


def verdict(belief: ActionBelief) -> str:
    """Whether an action pays: 'pays', 'does not pay', 'undecided', 'never measured' or 'observational' (not proven)."""
    if belief.observational:
        return OBSERVATIONAL
    if belief.worth is None or not belief.campaigns:
        return NEVER_MEASURED
    if belief.worth >= ENOUGH:
        return PAYS
    return DOES_NOT_PAY if belief.worth <= 1 - ENOUGH else UNDECIDED

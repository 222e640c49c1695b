"""Kills a scenario again and again: after each kill readers see the old files or the new ones, and a rerun ends as if
nothing had happened.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from dataclasses import replace
from pathlib import Path

from tests.killing.forks import Measured, Moment, Phase, measure_work, run_work
from tests.killing.scenario import Scenario, printed, restore, save

DIGEST = 64  # characters of a file's digest; anything longer is text that is compared
SHORTEST_SECONDS = 0.05  # of a run; a shorter one ends before any time comes, so it is killed at changes
MOST_MISSES = 25  # runs that end before their moment came
Digests = dict[str, str]


class Killed(AssertionError):
    """A kill did harm."""


def kill_repeatedly(scenario: Scenario, kills: int, seed: int, every: int = 1) -> dict[str, float]:
    """Kill a scenario at random moments: half of them times, the others changes of files.

    Args:
        scenario: The scenario, as it is before the command runs.
        kills: How many kills, besides those at the changes by which it publishes.
        seed: Of the moments.
        every: Of the changes by which it publishes, it is killed before one in so many.

    Returns:
        Counts: kills, runs that ended, seconds of an undisturbed run's phase, and changes in it.

    Raises:
        Killed: Readers see a mixture after a kill, or a run that ends leaves other bytes than an undisturbed one.
    """
    before_place = scenario.folder.with_name(f"{scenario.folder.name}-before")
    save(scenario.folder, before_place)
    try:
        return _kill_from(scenario, before_place, kills, seed, every)
    finally:
        shutil.rmtree(before_place)


def _kill_from(scenario: Scenario, before_place: Path, kills: int, seed: int, every: int) -> dict[str, float]:
    """As `kill_repeatedly`, with the folder saved as it was before."""
    before = scenario.published()
    measured = measure_work(scenario.work, scenario.folder, scenario.phase)
    _require_code(scenario, measured.code, "the undisturbed run")
    digests = before, scenario.published(), scenario.final()
    restore(scenario.folder, before_place)
    publishing = _publishing_changes(scenario, before_place)
    killed = ended = 0
    for moment, in_phase in _moments(measured, range(0, publishing, every), kills, seed):
        ended += _kill(scenario if in_phase else _in_publishing(scenario), moment, digests, before_place)
        killed += 1
        if not scenario.chained:
            _finish(scenario, digests[2], str(moment))
            ended += 1
            restore(scenario.folder, before_place)
    if scenario.chained:
        _finish(scenario, digests[2], "the last kill")
        ended += 1
    facts = {"seconds": round(measured.seconds, 2), "changes": measured.changes, "publishing": publishing}
    return {"killed": killed, "ended": ended, **facts}


def _moments(measured: Measured, publishing: range, kills: int, seed: int) -> list[tuple[Moment, bool]]:
    """The moments, and whether they count from the scenario's own phase on and not from its publishing."""
    rng = random.Random(seed)  # noqa: S311 (moments)
    chosen = []
    for number in range(kills):
        by_time = Moment(seconds=rng.uniform(0, measured.seconds))
        by_change = Moment(change=rng.randrange(measured.changes)) if measured.changes else by_time
        in_time = number % 2 and measured.seconds > SHORTEST_SECONDS
        chosen.append((by_time if in_time else by_change, True))
    return [*chosen, *((Moment(change=number), False) for number in publishing)]


def _kill(scenario: Scenario, moment: Moment, digests: tuple[Digests, Digests, Digests], before_place: Path) -> int:
    """Kill one run; return how many runs ended before their moment came."""
    before, after, wanted = digests
    ended = 0
    while (status := run_work(scenario.work, scenario.folder, scenario.phase, moment)) != -signal.SIGKILL:
        _require_code(scenario, status, f"a run before {moment}")
        _require_equal(scenario.final(), wanted, f"a run that ended before {moment}")
        ended += 1
        if ended > MOST_MISSES:
            raise Killed(f"{moment} never comes")
        restore(scenario.folder, before_place)
        if moment.seconds is not None:
            moment = replace(moment, seconds=moment.seconds * 0.7)
        elif moment.change:
            moment = replace(moment, change=moment.change - 1)
    _require_old_or_new(scenario, before, after, str(moment))
    return ended


def _finish(scenario: Scenario, wanted: Digests, moment: str) -> None:
    """Run it again to its end after a kill."""
    again = measure_work(scenario.again or scenario.work, scenario.folder, None)
    _require_code(scenario, again.code, f"the rerun after {moment}")
    _require_equal(scenario.final(), wanted, f"the rerun after {moment}")


def _publishing_changes(scenario: Scenario, before_place: Path) -> int:
    """How many changes a run makes from the first call of its publishing function on."""
    if not scenario.publishing:
        return 0
    measured = measure_work(scenario.work, scenario.folder, _in_publishing(scenario).phase)
    restore(scenario.folder, before_place)
    return measured.changes


def _in_publishing(scenario: Scenario) -> Scenario:
    return replace(scenario, phase=Phase(scenario.publishing))


def _require_code(scenario: Scenario, code: int, what: str) -> None:
    if code not in scenario.codes:
        text = printed(scenario.folder).read_text(errors="replace") if printed(scenario.folder).exists() else ""
        raise Killed(f"{what} ended with exit code {code}; expected one of {scenario.codes}\n{text[-3000:]}")


def _require_old_or_new(scenario: Scenario, before: Digests, after: Digests, moment: str) -> None:
    """Each published thing is that of before or that of after."""
    now = scenario.published()
    for unit in sorted({*before, *after, *now}):
        allowed = {before.get(unit), after.get(unit)}
        if scenario.may_vanish and unit.startswith(scenario.may_vanish):
            allowed.add(None)
        if now.get(unit) not in allowed:
            state = "is missing" if unit not in now else "is neither that of before nor that of after"
            raise Killed(f"killed at {moment}: {unit} {state}")


def _require_equal(found: Digests, wanted: Digests, what: str) -> None:
    wrong = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    if wrong:
        lines = [f"{name}: {_state(name, found, wanted)}" for name in wrong]
        raise Killed(f"{what} left other files than an undisturbed run:\n" + "\n".join(lines))


def _state(name: str, found: Digests, wanted: Digests) -> str:
    """What is wrong with a file, and where its compared text begins to differ."""
    if name not in wanted or name not in found:
        return "should not be there" if name not in wanted else "is missing"
    if len(wanted[name]) == DIGEST:
        return "has other bytes"
    at = len(os.path.commonprefix([found[name], wanted[name]]))
    return f"found ...{found[name][max(at - 80, 0) : at + 200]}, expected ...{wanted[name][max(at - 80, 0) : at + 200]}"

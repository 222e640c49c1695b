"""The evaluation of a training as text for a terminal: ours beside the best of the simple baselines."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from training.evaluation import longer_horizons
from training.evaluation.evaluate import HIGHER_IS_BETTER, OURS, Evaluation
from training.evaluation.grade import grade_lines
from training.evaluation.leavers import leaver_lines
from training.evaluation.metrics import TITLES
from training.evaluation.return_times import return_time_lines
from training.evaluation.skill import NO_BETTER
from training.fit import FittedModels
from training.registry import champion_challenger
from training.tune import TuningResult

SHOWN = {name: title for name, title in champion_challenger.TITLES.items() if name != "log_loss"}


def training_text(fitted: FittedModels) -> str:
    """The metrics at the last cutoff beside the baselines, as text for a terminal."""
    metrics = fitted.evaluation.metrics
    last = metrics[(metrics.cutoff == fitted.split.test.test) & (metrics.segment == "all")]
    customers = int(last.customers.iloc[0])
    lines = [f"{NO_BETTER.capitalize()}: {fitted.skill}", ""] if fitted.alike else []
    lines += grade_lines(fitted.evaluation)
    lines += [f"evaluated on {customers:,} customers at {fitted.split.test.test}, a cutoff that no model had seen", ""]
    lines.append(f"{'':<26}{'regulars (95% interval)':<34}{'better':<10}best of the simple baselines")
    for metric, title in SHOWN.items():
        rows = last[last.metric == metric].set_index("model")
        if OURS not in rows.index:
            continue
        mine, arrow = rows.loc[OURS], "higher" if metric in HIGHER_IS_BETTER else "nearer 0"
        baselines = {str(name): value for name, value in rows.value.items() if name != OURS and np.isfinite(value)}
        cell = f"{mine.value:,.4g} ({mine.low:,.4g} to {mine.high:,.4g})"
        lines.append(f"{title:<26}{cell:<34}{arrow:<10}{_best_baseline(metric, baselines)}".rstrip())
    lines += ["", *leaver_lines(fitted.evaluation, fitted.split.test.test, fitted.interval)]
    if timing := return_time_lines(fitted.evaluation, fitted.split.test.test):
        lines += ["", *timing]
    lines += ["", *(_tuning_line(kind, tuned) for kind, tuned in fitted.tuned.items())] if fitted.tuned else []
    lines += _longer_horizon_lines(fitted.evaluation)
    notes = [f"note: {note}" for note in (*fitted.shortfalls, *fitted.notes)]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _longer_horizon_lines(evaluation: Evaluation) -> list[str]:
    """The metrics of value over longer horizons, each beside the best baseline."""
    lines, before = [], ""
    for row in longer_horizons.longer_horizon_figures(evaluation):
        if row["horizon"] != before:
            before = row["horizon"]
            lines += ["", f"value over {before}, evaluated on {row['customers']:,} customers at {row['cutoff']}:"]
        cell = f"{row['value']:,.4g} ({row['low']:,.4g} to {row['high']:,.4g})"
        lines.append(f"{TITLES[row['metric']]:<26}{cell:<34}{_best_baseline(row['metric'], row['baselines'])}".rstrip())
    return lines


def _best_baseline(metric: str, baselines: Mapping[str, float]) -> str:
    if not baselines:
        return ""
    sign = -1 if metric in HIGHER_IS_BETTER else 1
    name = min(baselines, key=lambda baseline: sign * abs(baselines[baseline]))
    return f"{baselines[name]:,.4g} ({name})"


def _tuning_line(kind: str, tuned: TuningResult) -> str:
    """The result of tuning, the check on a later cutoff, and the most important parameters."""
    important = ", ".join(f"{name} {share:.0%}" for name, share in list(tuned.importance.items())[:3])
    loss = f"{tuned.default_loss:.4f} with defaults, {tuned.loss:.4f} at best"
    later = "" if tuned.gained else "; nothing but chance was gained, so the defaults are kept"
    if tuned.later:
        verdict = "so the tuned parameters are used" if tuned.kept else "so the defaults are kept"
        later = f"; on a later cutoff {tuned.later[0]:.4f} and {tuned.later[1]:.4f}, {verdict}"
    importance = f"; most important: {important}" if important else ""
    return f"tuning of {kind}: {len(tuned.trials)} trials, loss {loss}{later}{importance}"

"""Model performance at each scored cutoff: expected before labels exist, realised once the horizon has passed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import norm

from features.config.load import Config
from features.config.monitor import ALL_CUSTOMERS, MonitorConfig
from features.config.segments import SEGMENTS
from features.task import Window
from serving.language.formats import format_share
from serving.language.messages import N_, Language
from serving.monitoring.alerts import Finding
from serving.monitoring.inputs import MonitoredLog, MonitorInputs
from serving.scoring.score_tables import Scores, read_scores
from serving.statistics.expected_performance import expected_metrics, realised_metrics
from serving.statistics.proportions import LEVEL, Estimate

MAX_CUTOFFS, MIN_CUSTOMERS = 24, 30  # evaluated cutoffs; customers of a segment
WEEK = 7  # days; the last scored cutoff of each week is evaluated
COLUMNS = ["churn_probability", "value", "value_at_risk", "segment"]
METRICS = ("auc", "brier", "churn", "value")
OF_SEGMENTS = ("churn", "value")
METRIC_NAMES = {"churn": N_("Share of leavers"), "value": N_("Total customer value")}


@dataclass(frozen=True)
class PerformanceFigure:
    """One metric of a scored cutoff, expected and realised.

    Attributes:
        cutoff: The scored cutoff.
        metric: 'auc', 'brier', 'churn' (the share that leaves) or 'value' (the total).
        segment: 'all', or a segment of the score table.
        expected: The expected metric with its interval.
        realised: The realised metric with its interval; None until the horizon has passed.
        customers: How many customers it is based on.
        learned: Whether the model may have learned from outcomes of this cutoff. Then `realised` says how well the
            model fits what it knew, not how well it predicts.
    """

    cutoff: date
    metric: str
    segment: str
    expected: Estimate
    realised: Estimate | None
    customers: int
    learned: bool = False

    @property
    def foresight(self) -> bool:
        """Whether the outcomes are known now, and were unknown to the model."""
        return self.realised is not None and not self.learned

    @property
    def gap(self) -> float:
        """Realised minus expected; NaN until the horizon has passed."""
        return self.realised.value - self.expected.value if self.realised else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """The figure as in monitor.json."""
        realised = self.realised
        return {
            "cutoff": str(self.cutoff),
            "metric": self.metric,
            "segment": self.segment,
            "customers": self.customers,
            "learned": self.learned,
            "estimated": self.expected.value,
            "estimated_low": self.expected.low,
            "estimated_high": self.expected.high,
            "realised": realised.value if realised else None,
            "realised_low": realised.low if realised else None,
            "realised_high": realised.high if realised else None,
        }


@dataclass(frozen=True)
class NotableGap:
    """Which gaps between realised and expected metrics are worth an alert.

    Attributes:
        smallest: Gaps up to this do not matter: a share of the expected metric; of the AUC, a difference.
        chance: Probability of an alert where the model is right.
    """

    smallest: float
    chance: float

    def is_exceeded(self, row: PerformanceFigure) -> bool:
        """Whether a realised metric is off by more than chance and by more than what matters; the AUC only below."""
        if row.realised is None or self._is_chance(row):
            return False
        if row.metric == "auc":
            return row.gap < -self.smallest
        return abs(row.gap) > self.smallest * abs(row.expected.value)

    def _is_chance(self, row: PerformanceFigure) -> bool:
        """Whether chance and the usual error of the level explain the gap: the 95% interval, widened to `chance`.

        Totals of money are skewed and their level errs by a factor, so their gap counts on the log scale.
        """
        expected, realised = row.expected, row.expected.value + row.gap
        reach = max(expected.high - expected.value, expected.value - expected.low)
        reach *= float(norm.isf(self.chance / 2) / norm.isf((1 - LEVEL) / 2))
        if row.metric == "value" and min(expected.value, realised) > 0:
            return bool(abs(np.log(realised / expected.value)) <= reach / expected.value)
        return abs(row.gap) <= reach


def evaluate_cutoffs(
    config: Config, log: MonitoredLog, scores: Scores, earlier: Sequence[date]
) -> list[PerformanceFigure]:
    """Evaluates the scored cutoffs up to the monitored one, the last of each week.

    Args:
        config: The business.
        log: The open log.
        scores: Scores of the monitored cutoff.
        earlier: Earlier scored cutoffs.

    Returns:
        All figures, by cutoff.
    """
    evaluated = [*(read_scores(config, c) for c in weekly_cutoffs(earlier, scores.cutoff)), scores]
    task, end = config.task.to_task(), log.inputs.end
    figures = []
    for scored in (scored for scored in evaluated if _horizon(scored) == task.horizon):
        labels = log.outcomes(scored) if task.is_mature(scored.cutoff, end) else None
        figures += list(_figures(scored, labels, config.training.seed))
    return figures


def waiting_notes(config: Config, inputs: MonitorInputs, cutoffs: Sequence[date], tr: Language) -> Iterator[str]:
    """Says which scored cutoffs have no outcome yet only because rows of their horizon may still arrive.

    Args:
        config: The business.
        inputs: What was read from the log.
        cutoffs: The scored cutoffs.
        tr: The language of the text.

    Yields:
        No sentence or one.
    """
    task, log_end = config.task.to_task(), inputs.end + timedelta(days=inputs.waits)
    waiting = [c for c in cutoffs if task.is_mature(c, log_end) and not task.is_mature(c, inputs.end)]
    if waiting:
        yield tr(
            "The scores of {cutoffs} are not compared with outcomes yet: rows become known late, so outcomes count up "
            "to {end}, {days} days before the end of the log ([task] label_delay).",
            cutoffs=", ".join(map(str, waiting)),
            end=str(inputs.end),
            days=inputs.waits,
        )


def weekly_cutoffs(earlier: Sequence[date], cutoff: date) -> list[date]:
    """The last scored cutoff of each seven days, at most the newest MAX_CUTOFFS.

    >>> [str(c) for c in weekly_cutoffs([date(2024, 1, d) for d in (1, 2, 3, 9)], date(2024, 1, 10))]
    ['2024-01-03', '2024-01-09']
    """
    weekly = {c.toordinal() // WEEK: c for c in sorted(earlier) if c < cutoff}
    return list(weekly.values())[-MAX_CUTOFFS:]


def calibration_rows(figures: Sequence[PerformanceFigure]) -> list[dict[str, Any]]:
    """Predicted and actual share of leavers at each cutoff whose horizon has passed, as in monitor.json.

    Cutoffs that the model learned from are left out.
    """
    return [
        {
            "cutoff": str(row.cutoff),
            "said": row.expected.value,
            "came": row.realised.value,
            "low": row.realised.low,
            "high": row.realised.high,
            "customers": row.customers,
        }
        for row in figures
        if row.metric == "churn" and row.segment == ALL_CUSTOMERS and row.realised is not None and not row.learned
    ]


def performance_findings(figures: Sequence[PerformanceFigure], rules: MonitorConfig, tr: Language) -> Iterator[Finding]:
    """Finds performance problems of the newest mature cutoff, and a lower expected AUC of the newest scores.

    Cutoffs that the model learned from say nothing about its performance, so they are left out. All metrics together
    raise an alert with the probability `false_alarms` where the model is right: each one has the same part of it.

    Args:
        figures: All figures, by cutoff.
        rules: The [monitor] section with its thresholds.
        tr: The language of the texts.

    Yields:
        The findings.
    """
    sizes = {"churn": rules.calibration, "value": rules.total, "auc": rules.auc}
    for metric, smallest in sizes.items():
        size = NotableGap(smallest, rules.false_alarms / len(sizes))
        rows = [row for row in figures if row.metric == metric and row.segment == ALL_CUSTOMERS]
        mature = [row for row in rows if row.foresight]
        if mature and size.is_exceeded(mature[-1]):
            since = _off_since(mature, size)
            if metric == "auc":
                yield _auc_finding(mature[-1], since, tr)
            else:
                yield _calibration_finding(mature[-1], since, _worst_segment(figures, mature[-1], size), tr)
        if metric == "auc" and mature and rows[-1].expected.high < mature[-1].expected.value - smallest:
            yield _lower_estimate_finding(rows[-1], mature[-1], tr)


def performance_notes(figures: Sequence[PerformanceFigure], tr: Language) -> list[str]:
    """Remarks on what the figures can and cannot show.

    Args:
        figures: All figures, by cutoff.
        tr: The language of the notes.

    Returns:
        Sentences.
    """
    notes = []
    learned = list(dict.fromkeys(row.cutoff for row in figures if row.learned and row.realised is not None))
    if learned:
        count = tr.many(
            "The model learned from outcomes of {n} scored cutoff",
            "The model learned from outcomes of {n} scored cutoffs",
            len(learned),
        )
        cutoffs = ", ".join(map(str, learned))
        notes.append(tr("{count} ({cutoffs}). They do not show how well it predicts.", count=count, cutoffs=cutoffs))
    if any(row.realised is None for row in figures):
        notes.append(
            tr(
                "Metrics that are expected before outcomes are known assume that customers with the same features "
                "behave as before. They cannot see concept drift; only outcomes can."
            )
        )
    return notes


def may_have_learned(scores: Scores) -> bool:
    """Whether the model may have learned from outcomes of this scored cutoff; also if the manifest does not say."""
    learned_until = recorded_learning(scores)
    return learned_until is None or scores.cutoff < learned_until


def recorded_learning(scores: Scores) -> date | None:
    """The end of the outcomes that the model of a scored cutoff learned from; None if an early version scored it."""
    model = scores.manifest.models.get("churn")
    recorded = model.get("learned_until") if model else None
    return date.fromisoformat(recorded) if recorded else None


def _horizon(scores: Scores) -> Window | None:
    model = scores.manifest.models.get("churn")
    task = model.get("task") if model else None
    return Window.parse(task["horizon"]) if task else None


def _figures(scores: Scores, labels: pa.Table | None, seed: int) -> Iterator[PerformanceFigure]:
    table = scores.read_columns(COLUMNS)
    churn = table["churn_probability"].to_numpy()
    money = scores.spread is not None and table["value"].null_count == 0
    worth = table["value"].to_numpy() + table["value_at_risk"].to_numpy() if money else None
    left = None if labels is None else labels["churned"].to_numpy().astype(float)
    brought = None if labels is None or not money else np.maximum(labels["value"].fill_null(0.0).to_numpy(), 0.0)
    learned = may_have_learned(scores)
    segments = np.array(table["segment"].fill_null("").to_pylist())
    for segment in (ALL_CUSTOMERS, *SEGMENTS):
        inside = np.ones(len(churn), bool) if segment == ALL_CUSTOMERS else segments == segment
        if not inside.any() or (segment != ALL_CUSTOMERS and inside.sum() < MIN_CUSTOMERS):
            continue
        estimates = expected_metrics(churn[inside], None if worth is None else worth[inside], scores.spread, seed)
        outcomes = (
            {}
            if left is None
            else realised_metrics(churn[inside], left[inside], None if brought is None else brought[inside])
        )
        for metric in METRICS if segment == ALL_CUSTOMERS else OF_SEGMENTS:
            if metric in estimates and np.isfinite(estimates[metric].value):
                yield PerformanceFigure(
                    scores.cutoff, metric, segment, estimates[metric], outcomes.get(metric), int(inside.sum()), learned
                )


def _off_since(mature: Sequence[PerformanceFigure], size: NotableGap) -> date:
    """The first cutoff of the unbroken run of misses that ends at the newest cutoff."""
    first = mature[-1].cutoff
    for row in reversed(mature):
        if not size.is_exceeded(row):
            break
        first = row.cutoff
    return first


def _worst_segment(
    figures: Sequence[PerformanceFigure], row: PerformanceFigure, size: NotableGap
) -> PerformanceFigure | None:
    """The segment with the largest part of the gap at the same cutoff, in customers or in money."""
    parts = [r for r in figures if (r.cutoff, r.metric) == (row.cutoff, row.metric) and r.segment != ALL_CUSTOMERS]
    off = [r for r in parts if size.is_exceeded(r)]
    return max(off, key=lambda r: abs(r.gap) * (r.customers if r.metric == "churn" else 1), default=None)


def _calibration_finding(row: PerformanceFigure, since: date, worst: PerformanceFigure | None, tr: Language) -> Finding:
    form = format_share if row.metric == "churn" else "{:,.0f}".format
    text = tr(
        "{what}, scores of {cutoff}: expected {expected} ({low} to {high}), actual {actual}. Outside the expected "
        "interval since the scores of {first}.",
        what=tr(METRIC_NAMES[row.metric]),
        cutoff=str(row.cutoff),
        expected=form(row.expected.value),
        low=form(row.expected.low),
        high=form(row.expected.high),
        actual=form(row.expected.value + row.gap),
        first=str(since),
    )
    if worst is not None:
        worst_text = tr(
            "The largest part is in the segment '{segment}': expected {expected}, actual {actual}.",
            segment=tr(worst.segment),
            expected=form(worst.expected.value),
            actual=form(worst.expected.value + worst.gap),
        )
        text = f"{text} {worst_text}"
    titles = {
        ("churn", True): tr("More customers leave than predicted"),
        ("churn", False): tr("Fewer customers leave than predicted"),
        ("value", True): tr("Customers spend more than predicted"),
        ("value", False): tr("Customers spend less than predicted"),
    }
    return Finding(f"performance:{row.metric}", "warning", titles[row.metric, row.gap > 0], text, "recalibrate")


def _auc_finding(row: PerformanceFigure, since: date, tr: Language) -> Finding:
    text = tr(
        "AUC, scores of {cutoff}: expected {expected} ({low} to {high}), actual {actual}. Below the expected interval "
        "since the scores of {first}.",
        cutoff=str(row.cutoff),
        expected=f"{row.expected.value:.3f}",
        low=f"{row.expected.low:.3f}",
        high=f"{row.expected.high:.3f}",
        actual=f"{row.expected.value + row.gap:.3f}",
        first=str(since),
    )
    title = tr("The model separates leavers from stayers less well than expected")
    return Finding("performance:auc", "critical", title, text, "retrain")


def _lower_estimate_finding(row: PerformanceFigure, mature: PerformanceFigure, tr: Language) -> Finding:
    text = tr(
        "Expected AUC of the scores of {cutoff}: {expected} ({low} to {high}); for the scores of {earlier} it was "
        "{before}.",
        cutoff=str(row.cutoff),
        expected=f"{row.expected.value:.3f}",
        low=f"{row.expected.low:.3f}",
        high=f"{row.expected.high:.3f}",
        before=f"{mature.expected.value:.3f}",
        earlier=str(mature.cutoff),
    )
    return Finding(
        "estimate:auc", "warning", tr("The newest scores are expected to be less accurate than before"), text, "retrain"
    )

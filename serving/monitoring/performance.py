"""Every scored cutoff: what its numbers were expected to be worth, and once its horizon has passed what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config
from features.config.monitor import ALL_CUSTOMERS, MonitorConfig
from features.config.segments import SEGMENTS
from features.task import Window
from serving.language.formats import format_share
from serving.language.messages import N_, Language
from serving.monitoring.alerts import Finding
from serving.monitoring.inputs import OpenLog
from serving.scoring.score_tables import Scores, read_scores
from serving.statistics.expected_performance import expected_metrics, realised_metrics
from serving.statistics.proportions import Estimate

MAX_CUTOFFS, WEEK, MIN_CUSTOMERS = (
    24,
    7,
    30,
)  # cutoffs looked at; days of which one stands for all; customers of a segment
COLUMNS = ["churn_probability", "value", "value_at_risk", "segment"]
METRICS = ("auc", "brier", "churn", "value")
OF_SEGMENTS = ("churn", "value")
METRIC_NAMES = {"churn": N_("share that leaves"), "value": N_("value of all customers")}


@dataclass(frozen=True)
class PerformanceFigure:
    """One figure of a scored cutoff.

    Attributes:
        metric: 'auc', 'brier', 'churn' (the share that leaves) or 'value' (the sum).
        segment: 'all', or a segment of the score table.
        realised: None until the horizon has passed.
    """

    cutoff: date
    metric: str
    segment: str
    expected: Estimate
    realised: Estimate | None
    customers: int

    @property
    def gap(self) -> float:
        """What came less what was expected; NaN until then."""
        return self.realised.value - self.expected.value if self.realised else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """As monitor.json has it."""
        came = self.realised
        return {
            "cutoff": str(self.cutoff),
            "metric": self.metric,
            "segment": self.segment,
            "customers": self.customers,
            "estimated": self.expected.value,
            "estimated_low": self.expected.low,
            "estimated_high": self.expected.high,
            "realised": came.value if came else None,
            "realised_low": came.low if came else None,
            "realised_high": came.high if came else None,
        }


def evaluate_cutoffs(config: Config, log: OpenLog, scores: Scores, earlier: Sequence[date]) -> list[PerformanceFigure]:
    """All figures of the scored cutoffs up to one, of each week the last, by cutoff.

    Args:
        config: The business.
        log: Open, at the cutoff.
        scores: Of the cutoff.
        earlier: Cutoffs that were scored before it.
    """
    looked_at = [*(read_scores(config, c) for c in weekly_cutoffs(earlier, scores.cutoff)), scores]
    task, end = config.task.to_task(), log.inputs.end
    found = []
    for one in (one for one in looked_at if _horizon(one) == task.horizon):
        came = log.outcomes(one) if task.is_mature(one.cutoff, end) else None
        found += list(_figures(one, came, config.training.seed))
    return found


def weekly_cutoffs(earlier: Sequence[date], cutoff: date) -> list[date]:
    """Of each seven days the last scored cutoff, the newest MOST of them.

    >>> [str(c) for c in chosen([date(2024, 1, d) for d in (1, 2, 3, 9)], date(2024, 1, 10))]
    ['2024-01-03', '2024-01-09']
    """
    weekly = {c.toordinal() // WEEK: c for c in sorted(earlier) if c < cutoff}
    return list(weekly.values())[-MAX_CUTOFFS:]


def calibration_rows(judged: Sequence[PerformanceFigure]) -> list[dict[str, Any]]:
    """The share that was said to leave beside the share that left, of each cutoff whose horizon has passed."""
    return [
        {
            "cutoff": str(row.cutoff),
            "said": row.expected.value,
            "came": row.realised.value,
            "low": row.realised.low,
            "high": row.realised.high,
            "customers": row.customers,
        }
        for row in judged
        if row.metric == "churn" and row.segment == ALL_CUSTOMERS and row.realised is not None
    ]


def performance_findings(judged: Sequence[PerformanceFigure], rules: MonitorConfig, tr: Language) -> Iterator[Finding]:
    """What the newest cutoff with an outcome tells, and whether the newest scores promise less than those did."""
    sizes = {"churn": rules.calibration, "value": rules.total, "auc": rules.auc}
    for metric, size in sizes.items():
        rows = [row for row in judged if row.metric == metric and row.segment == ALL_CUSTOMERS]
        mature = [row for row in rows if row.realised is not None]
        if mature and _off(mature[-1], size):
            since = _since(mature, size)
            if metric == "auc":
                yield _worse(mature[-1], since, tr)
            else:
                yield _miscalibrated(mature[-1], since, _worst(judged, mature[-1], size), tr)
        if metric == "auc" and mature and rows[-1].expected.high < mature[-1].expected.value - size:
            yield _less_to_come(rows[-1], mature[-1], tr)


def _horizon(scores: Scores) -> Window | None:
    task = (scores.manifest["models"].get("churn") or {}).get("task")
    return Window.parse(task["horizon"]) if task else None


def _figures(scores: Scores, came: pa.Table | None, seed: int) -> Iterator[PerformanceFigure]:
    parts = [pq.ParquetFile(scores.folder / part["file"]).read(COLUMNS) for part in scores.manifest["parts"]]
    table = pa.concat_tables(parts)
    churn = table["churn_probability"].to_numpy()
    money = scores.spread is not None and table["value"].null_count == 0
    worth = table["value"].to_numpy() + table["value_at_risk"].to_numpy() if money else None
    left = None if came is None else came["churned"].to_numpy().astype(float)
    brought = None if came is None or not money else np.maximum(came["value"].fill_null(0.0).to_numpy(), 0.0)
    segments = np.array(table["segment"].fill_null("").to_pylist())
    for segment in (ALL_CUSTOMERS, *SEGMENTS):
        inside = np.ones(len(churn), bool) if segment == ALL_CUSTOMERS else segments == segment
        if not inside.any() or (segment != ALL_CUSTOMERS and inside.sum() < MIN_CUSTOMERS):
            continue
        said = expected_metrics(churn[inside], None if worth is None else worth[inside], scores.spread, seed)
        was = (
            {}
            if left is None
            else realised_metrics(churn[inside], left[inside], None if brought is None else brought[inside])
        )
        for metric in METRICS if segment == ALL_CUSTOMERS else OF_SEGMENTS:
            if metric in said and np.isfinite(said[metric].value):
                yield PerformanceFigure(
                    scores.cutoff, metric, segment, said[metric], was.get(metric), int(inside.sum())
                )


def _off(row: PerformanceFigure, size: float) -> bool:
    """Whether what came lies outside what was expected, and so far that it matters; of the AUC, below it only."""
    if row.realised is None or row.expected.holds(row.realised.value):
        return False
    if row.metric == "auc":
        return row.gap < -size
    return abs(row.gap) > size * abs(row.expected.value)


def _since(mature: Sequence[PerformanceFigure], size: float) -> date:
    """The first cutoff of the run, up to the newest, in which all were off."""
    first = mature[-1].cutoff
    for row in reversed(mature):
        if not _off(row, size):
            break
        first = row.cutoff
    return first


def _worst(judged: Sequence[PerformanceFigure], row: PerformanceFigure, size: float) -> PerformanceFigure | None:
    """The segment in which most of the gap lies at the same cutoff, in customers or in money."""
    parts = [r for r in judged if (r.cutoff, r.metric) == (row.cutoff, row.metric) and r.segment != ALL_CUSTOMERS]
    off = [r for r in parts if _off(r, size)]
    return max(off, key=lambda r: abs(r.gap) * (r.customers if r.metric == "churn" else 1), default=None)


def _miscalibrated(row: PerformanceFigure, since: date, worst: PerformanceFigure | None, tr: Language) -> Finding:
    form = format_share if row.metric == "churn" else "{:,.0f}".format
    told = tr(
        "{what} of the scores of {cutoff}: {said} expected ({low} to {high}), {came} came. Off since the scores of "
        "{first}.",
        what=tr(METRIC_NAMES[row.metric]),
        cutoff=str(row.cutoff),
        said=form(row.expected.value),
        low=form(row.expected.low),
        high=form(row.expected.high),
        came=form(row.expected.value + row.gap),
        first=str(since),
    )
    if worst is not None:
        most = tr(
            "Most of it in the segment '{segment}': {said} expected, {came} came.",
            segment=tr(worst.segment),
            said=form(worst.expected.value),
            came=form(worst.expected.value + worst.gap),
        )
        told = f"{told} {most}"
    titles = {
        ("churn", True): tr("More customers leave than was said"),
        ("churn", False): tr("Fewer customers leave than was said"),
        ("value", True): tr("Customers bring more than was said"),
        ("value", False): tr("Customers bring less than was said"),
    }
    return Finding(f"performance:{row.metric}", "warning", titles[row.metric, row.gap > 0], told, "recalibrate")


def _worse(row: PerformanceFigure, since: date, tr: Language) -> Finding:
    told = tr(
        "AUC of the scores of {cutoff}: {said} expected ({low} to {high}), {came} came. Off since the scores of "
        "{first}.",
        cutoff=str(row.cutoff),
        said=f"{row.expected.value:.3f}",
        low=f"{row.expected.low:.3f}",
        high=f"{row.expected.high:.3f}",
        came=f"{row.expected.value + row.gap:.3f}",
        first=str(since),
    )
    title = tr("The model tells leavers from stayers less well than expected")
    return Finding("performance:auc", "critical", title, told, "retrain")


def _less_to_come(row: PerformanceFigure, mature: PerformanceFigure, tr: Language) -> Finding:
    told = tr(
        "AUC expected of the scores of {cutoff}: {said} ({low} to {high}); it was {before} of those of {earlier}.",
        cutoff=str(row.cutoff),
        said=f"{row.expected.value:.3f}",
        low=f"{row.expected.low:.3f}",
        high=f"{row.expected.high:.3f}",
        before=f"{mature.expected.value:.3f}",
        earlier=str(mature.cutoff),
    )
    return Finding("estimate:auc", "warning", tr("The newest scores promise less than before"), told, "retrain")

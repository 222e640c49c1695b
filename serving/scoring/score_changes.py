"""What changed between two scored cutoffs: who came and went, who became at risk, and what is at risk now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from features.outputs.manifests import ScoreManifest
from serving.language.formats import NumberFormat
from serving.language.messages import Language
from serving.scoring.score_tables import Scores
from serving.scoring.value_tiers import AT_RISK

LISTED = 10
FILES = "read_parquet(?, hive_partitioning = false)"
SIDE = f"(SELECT customer_id, churn_probability AS risk, value, value_at_risk, segment FROM {FILES})"  # noqa: S608 (our own constants)
BECAME = f"b.risk < {AT_RISK} AND a.risk >= {AT_RISK}"
SUMS = f"""
SELECT count(a.risk) AS customers, count(b.risk) AS customers_before,
    count(*) FILTER (b.risk IS NULL) AS joined, count(*) FILTER (a.risk IS NULL) AS gone,
    count(*) FILTER (a.risk >= {AT_RISK}) AS at_risk, count(*) FILTER (b.risk >= {AT_RISK}) AS at_risk_before,
    count(*) FILTER ({BECAME}) AS became_at_risk,
    coalesce(sum(a.value_at_risk) FILTER ({BECAME}), 0) AS value_of_became,
    count(*) FILTER (b.risk >= {AT_RISK} AND a.risk < {AT_RISK}) AS recovered,
    coalesce(sum(a.value), 0) AS value, coalesce(sum(b.value), 0) AS value_before,
    coalesce(sum(a.value_at_risk), 0) AS value_at_risk, coalesce(sum(b.value_at_risk), 0) AS value_at_risk_before
FROM {SIDE} AS a FULL JOIN {SIDE} AS b USING (customer_id)
"""  # noqa: S608 (our own constants)
BECAME_ROWS = f"""
SELECT customer_id, b.risk AS risk_before, a.risk, a.value, a.value_at_risk, a.segment
FROM {SIDE} AS a JOIN {SIDE} AS b USING (customer_id)
WHERE {BECAME} ORDER BY coalesce(a.value_at_risk, a.risk) DESC, customer_id LIMIT {LISTED}
"""  # noqa: S608 (our own constants)
Query = Callable[[str, Sequence[Any]], pa.Table]


@dataclass(frozen=True)
class ScoreChanges:
    """The changes from one scored cutoff to a later one.

    Attributes:
        before: The earlier cutoff.
        same_models: Whether the same models scored both.
        sums: Counts and sums by name, as `SUMS` has them.
        became: The customers who became at risk with the most value at risk: customer_id, risk_before, risk, value,
            value_at_risk and segment.
    """

    before: date
    same_models: bool
    sums: Mapping[str, float]
    became: Sequence[Mapping[str, Any]]


def compare_scores(query: Query, now: ScoreSide, before: ScoreSide) -> ScoreChanges:
    """Compare two scored cutoffs.

    Args:
        query: Runs SQL over files and returns its rows.
        now: The later cutoff.
        before: The earlier one.

    Returns:
        The changes.
    """
    files = [now.files, before.files]
    sums, became = query(SUMS, files).to_pylist()[0], query(BECAME_ROWS, files).to_pylist()
    return ScoreChanges(before.cutoff, _labels(now.manifest) == _labels(before.manifest), sums, became)


@dataclass(frozen=True)
class ScoreSide:
    """One of two compared cutoffs: its day, the files of its score table, and its manifest."""

    cutoff: date
    files: list[str]
    manifest: ScoreManifest


def side_of(scores: Scores) -> ScoreSide:
    """The side of scores that were read."""
    return ScoreSide(
        scores.cutoff, [str(scores.folder / part["file"]) for part in scores.manifest.parts], scores.manifest
    )


def compare_files(now: Scores, before: Scores) -> ScoreChanges:
    """Compare two scored cutoffs with a DuckDB of its own."""
    with duckdb.connect(config={"memory_limit": "1GB", "threads": 2, "autoinstall_known_extensions": False}) as engine:
        engine.execute("SET enable_progress_bar = false")
        return compare_scores(
            lambda sql, params: engine.execute(sql, list(params)).fetch_arrow_table(), side_of(now), side_of(before)
        )


def _labels(manifest: ScoreManifest) -> dict[str, Any]:
    return {kind: model["label"] for kind, model in manifest.models.items()}


def change_sentences(changes: ScoreChanges, form: NumberFormat, money: bool, skill: bool) -> Iterator[str]:
    """Say what changed, in plain sentences; what did not change is left out.

    Args:
        changes: The changes.
        form: How numbers are written, and the language.
        money: Whether the scores have a value.
        skill: Whether the models tell customers apart.

    Yields:
        The sentences.
    """
    tr, sums = form.tr, changes.sums
    yield _customers(changes, form)
    if skill:
        yield _risk(changes, form, money)
    if money:
        yield tr(
            "Value at risk: {now} ({change}). Expected value: {value} ({value_change}).",
            now=form.money(sums["value_at_risk"]), value=form.money(sums["value"]),
            change=_change(sums["value_at_risk"], sums["value_at_risk_before"], tr),
            value_change=_change(sums["value"], sums["value_before"], tr),
        )  # fmt: skip
    if not changes.same_models:
        yield tr("Another model scored {day}, so a part of the change comes from the model.", day=changes.before)


def _customers(changes: ScoreChanges, form: NumberFormat) -> str:
    """Say how many customers there are, and who came and went."""
    tr, sums = form.tr, changes.sums
    text = tr(
        "Customers scored: {n} ({before} before)",
        n=form.count(sums["customers"]), before=form.count(sums["customers_before"]),
    )  # fmt: skip
    moves = {"joined": tr("new in the list"), "gone": tr("no longer in it")}
    return _with_moves(text, [(words, form.count(sums[name])) for name, words in moves.items() if sums[name]], tr)


def _risk(changes: ScoreChanges, form: NumberFormat, money: bool) -> str:
    """Say how many customers are at risk, who became so, and who is so no longer."""
    tr, sums = form.tr, changes.sums
    text = tr(
        "Customers at risk: {n} ({before} before)",
        n=form.count(sums["at_risk"]), before=form.count(sums["at_risk_before"]),
    )  # fmt: skip
    became = form.count(sums["became_at_risk"])
    if money:
        became = tr("{n} (value at risk {value})", n=became, value=form.money(sums["value_of_became"]))
    moves = [(tr("newly at risk"), became)] if sums["became_at_risk"] else []
    moves += [(tr("no longer at risk"), form.count(sums["recovered"]))] if sums["recovered"] else []
    return _with_moves(text, moves, tr)


def _with_moves(text: str, moves: Sequence[tuple[str, str]], tr: Language) -> str:
    """Add counts of those who moved to a sentence; none are left out."""
    return tr("; ").join([text, *(f"{words} {count}" for words, count in moves)]) + tr(".")


def _change(now: float, before: float, tr: Language) -> str:
    """Say how a sum changed, in per cent."""
    if before <= 0:
        return tr("none before")
    share = now / before - 1
    return tr("unchanged") if abs(share) < 0.005 else f"{share:+.0%}".replace("-", "−")

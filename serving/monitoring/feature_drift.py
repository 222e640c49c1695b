"""Which features and scores are spread otherwise than at the cutoffs that the model learned from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from features.config.load import Config
from features.config.monitor import MonitorConfig
from serving.language.messages import N_, Language
from serving.monitoring.inputs import MonitorInputs, ReferenceCutoffs, choose_references
from serving.scoring.score_tables import Scores, read_scores
from serving.statistics.population_drift import Drift, DriftSamples, measure_drift

SCORES = {
    "churn_probability": N_("risk of leaving"),
    "value": N_("customer value"),
    "value_at_risk": N_("value at risk"),
}


def compare_with_references(
    config: Config, gathered: MonitorInputs, scores: Scores, earlier: Sequence[date], tr: Language
) -> list[Drift]:
    """Every feature and score against its reference, in the order of the catalog; what cannot be compared is left out.

    Args:
        config: The business.
        gathered: Features of the cutoff and of those it is compared with.
        scores: Of the cutoff.
        earlier: Cutoffs that were scored before it.
        tr: The language.
    """
    return [*_features(config.monitor, gathered, tr), *_scores(config, scores, earlier, tr)]


def drift_notes(gathered: MonitorInputs, found: Sequence[Drift], tr: Language) -> list[str]:
    """What is to be said of the comparison, and what could not be compared, in words."""
    notes = []
    if gathered.features and not gathered.references.newest:
        notes.append(tr("Features cannot be compared yet: no cutoff was learned from or scored before this one."))
    elif gathered.features and gathered.references.season is None:
        notes.append(tr("The log has no cutoff of a year before, so seasons cannot be told from lasting changes."))
    moved = sum(drift.moved for drift in found if drift.what == "feature")
    if moved:
        some = tr.many("{n} feature has moved.", "{n} features have moved.", moved)
        notes.append(tr("{some} An alert is raised where they drive a tenth of the risk or more.", some=some))
    if not any(drift.what == "score" for drift in found):
        notes.append(tr("Scores cannot be compared yet: these models have not scored an earlier cutoff."))
    return notes


def _features(rules: MonitorConfig, gathered: MonitorInputs, tr: Language) -> list[Drift]:
    refs, columns = gathered.references, gathered.columns
    if not gathered.features or not refs.newest:
        return []
    words = tr("cutoffs learned from") if refs.learned else tr("cutoffs scored before")
    told = _reference(words, refs.newest, tr)
    chance = rules.false_alarms / len(gathered.features)
    made = []
    for feature in gathered.features:
        sides = _sides({c: column[feature.name] for c, column in columns.items()}, gathered.vitals.cutoff, refs)
        figures = measure_drift(sides, chance, rules.psi)
        phrase = tr.phrase(feature.phrase)
        made.append(Drift(what="feature", name=feature.name, phrase=phrase, reference=told, **figures))
    return made


def _scores(config: Config, scores: Scores, earlier: Sequence[date], tr: Language) -> list[Drift]:
    """The spread of the scores against cutoffs that the same models scored, a horizon before where there are any."""
    digest, horizon = _digest(scores), config.task.horizon.delta
    same = [c for c in earlier if _digest(read_scores(config, c)) == digest]
    old = [c for c in same if c <= scores.cutoff - horizon] or same[:1]
    if not old:
        return []
    refs = choose_references(old, scores.cutoff, learned=False)
    tables = {c: _numbers(read_scores(config, c)) for c in refs.cutoffs} | {scores.cutoff: _numbers(scores)}
    made = []
    for name, phrase in SCORES.items():
        columns = {c: table[name] for c, table in tables.items()}
        if not np.isfinite(columns[scores.cutoff]).any():
            continue
        figures = measure_drift(
            _sides(columns, scores.cutoff, refs), config.monitor.false_alarms / len(SCORES), config.monitor.psi
        )
        told = _reference(tr("cutoffs scored before"), refs.newest, tr)
        made.append(Drift(what="score", name=name, phrase=tr(phrase), reference=told, **figures))
    return made


def _sides(columns: dict[date, np.ndarray], now: date, refs: ReferenceCutoffs) -> DriftSamples:
    year = columns[refs.season] if refs.season else None
    return DriftSamples(columns[now], [columns[c] for c in refs.newest], [columns[c] for c in refs.earlier], year)


def _reference(words: str, cutoffs: Sequence[date], tr: Language) -> str:
    return tr("{what} ({cutoffs})", what=words, cutoffs=", ".join(map(str, cutoffs)))


def _digest(scores: Scores) -> str:
    """Of the model that says most of a customer."""
    models: dict[str, Any] = scores.manifest["models"]
    return str((models.get("value") or models.get("churn") or {}).get("digest"))


def _numbers(scores: Scores) -> dict[str, np.ndarray]:
    """The scores of all customers, NaN where there is no money."""
    parts = [pq.ParquetFile(scores.folder / part["file"]).read(list(SCORES)) for part in scores.manifest["parts"]]
    return {name: np.concatenate([part[name].to_numpy().astype(float) for part in parts]) for name in SCORES}

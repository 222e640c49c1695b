"""Drift of features and scores against the model's training cutoffs or earlier scored cutoffs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from features.config.load import Config
from features.config.monitor import MonitorConfig
from serving.language.messages import N_, Language
from serving.monitoring.inputs import MonitorInputs, ReferenceCutoffs, choose_references
from serving.monitoring.performance import may_have_learned
from serving.scoring.score_tables import Scores, read_scores
from serving.statistics.population_drift import Drift, DriftSamples, measure_drift

SCORES = {
    "churn_probability": N_("risk of leaving"),
    "value": N_("customer value"),
    "value_at_risk": N_("value at risk"),
}


def compare_with_references(
    config: Config, inputs: MonitorInputs, scores: Scores, earlier: Sequence[date], tr: Language
) -> list[Drift]:
    """Compares every feature and score with its reference cutoffs.

    Args:
        config: The business.
        inputs: Features of the monitored cutoff and of the reference cutoffs.
        scores: Scores of the monitored cutoff.
        earlier: Earlier scored cutoffs.
        tr: The language of the phrases.

    Returns:
        The drift of each feature, in catalog order, then of each score, without those that cannot be compared.
    """
    return [*_feature_drifts(config.monitor, inputs, tr), *_score_drifts(config, scores, earlier, tr)]


def drift_notes(inputs: MonitorInputs, drifts: Sequence[Drift], tr: Language) -> list[str]:
    """Remarks on the comparison, and what could not be compared.

    Args:
        inputs: What was read from the log.
        drifts: The comparisons that were possible.
        tr: The language of the notes.

    Returns:
        Sentences.
    """
    notes = []
    if inputs.features and not inputs.references.newest:
        notes.append(tr("Features cannot be compared yet: no earlier cutoff was used for training or scored."))
    elif inputs.features and inputs.references.season is None:
        notes.append(
            tr("There is no cutoff of a year earlier, so seasonal changes cannot be distinguished from lasting ones.")
        )
    moved = sum(drift.moved for drift in drifts if drift.what == "feature")
    if moved:
        count = tr.many("{n} feature has drifted.", "{n} features have drifted.", moved)
        notes.append(
            tr("{count} An alert is raised if they carry a tenth of the model's importance or more.", count=count)
        )
    if not any(drift.what == "score" for drift in drifts):
        notes.append(
            tr(
                "Scores cannot be compared yet: these models have not scored an earlier cutoff that they had not "
                "learned from."
            )
        )
    return notes


def _feature_drifts(rules: MonitorConfig, inputs: MonitorInputs, tr: Language) -> list[Drift]:
    refs, columns = inputs.references, inputs.columns
    if not inputs.features or not refs.newest:
        return []
    words = tr("training cutoffs") if refs.used_in_training else tr("cutoffs scored earlier")
    reference = _reference_text(words, refs.newest, tr)
    chance = rules.false_alarms / len(inputs.features)
    drifts = []
    for feature in inputs.features:
        sides = _sides({c: column[feature.name] for c, column in columns.items()}, inputs.vitals.cutoff, refs)
        figures = measure_drift(sides, chance, rules.psi)
        phrase = tr.phrase(feature.phrase)
        drifts.append(Drift(what="feature", name=feature.name, phrase=phrase, reference=reference, **figures))
    return drifts


def _score_drifts(config: Config, scores: Scores, earlier: Sequence[date], tr: Language) -> list[Drift]:
    """Compares the scores with cutoffs scored by the same models, at least a horizon earlier if there are any.

    A model is surer of cutoffs that it learned from, so these are not compared with.
    """
    digest, horizon = _model_digest(scores), config.task.horizon.delta
    before = {c: read_scores(config, c) for c in earlier}
    same = [c for c, s in before.items() if _model_digest(s) == digest and not may_have_learned(s)]
    old = [c for c in same if c <= scores.cutoff - horizon] or same[:1]
    if not old:
        return []
    refs = choose_references(old, scores.cutoff, learned=False)
    tables = {c: _score_columns(read_scores(config, c)) for c in refs.cutoffs} | {scores.cutoff: _score_columns(scores)}
    drifts = []
    for name, phrase in SCORES.items():
        columns = {c: table[name] for c, table in tables.items()}
        if not np.isfinite(columns[scores.cutoff]).any():
            continue
        figures = measure_drift(
            _sides(columns, scores.cutoff, refs), config.monitor.false_alarms / len(SCORES), config.monitor.psi
        )
        reference = _reference_text(tr("cutoffs scored earlier"), refs.newest, tr)
        drifts.append(Drift(what="score", name=name, phrase=tr(phrase), reference=reference, **figures))
    return drifts


def _sides(columns: dict[date, np.ndarray], now: date, refs: ReferenceCutoffs) -> DriftSamples:
    year = columns[refs.season] if refs.season else None
    return DriftSamples(columns[now], [columns[c] for c in refs.newest], [columns[c] for c in refs.earlier], year)


def _reference_text(words: str, cutoffs: Sequence[date], tr: Language) -> str:
    return tr("{what} ({cutoffs})", what=words, cutoffs=", ".join(map(str, cutoffs)))


def _model_digest(scores: Scores) -> str:
    """The digest of the richest model: the value model, else the churn model."""
    models: dict[str, Any] = scores.manifest.models
    return str((models.get("value") or models.get("churn") or {}).get("digest"))


def _score_columns(scores: Scores) -> dict[str, np.ndarray]:
    """The scores of all customers by column; NaN where there is no value."""
    table = scores.read_columns(list(SCORES))
    return {name: table[name].to_numpy().astype(float) for name in SCORES}

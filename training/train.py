"""The command: from a config's log to registered challengers, and to champions where the gates let them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from features.atomic_files import write_text_atomically
from features.config.load import Config
from features.errors import DataError, UsageError
from features.intake.log import Business, config_of
from features.snapshots import build
from training.data.time_split import Sample, sample_at
from training.evaluation import longer_horizons
from training.evaluation.evaluate import HIGHER_IS_BETTER, OURS, Evaluation
from training.evaluation.fairness import evaluate_fairness, read_fairness_groups
from training.evaluation.metrics import TITLES
from training.fit import FittedModels, fit_models
from training.registry import aliases, champion_challenger, mlflow_tracking, promotion_gates, run_record
from training.registry import models as registry
from training.registry.champion_challenger import CurrentChampions
from training.registry.model_card import model_card_text
from training.registry.models import Champion, RegisteredVersion
from training.registry.promotion_gates import PromotionDecision
from training.registry.run_record import TrainingRecord
from training.tune import TuningResult

SHOWN = {name: title for name, title in champion_challenger.TITLES.items() if name != "log_loss"}


@dataclass(frozen=True)
class RegisteredTraining:
    """What became of a training: its versions, whether they are champions, and the first cutoff that can be scored."""

    versions: tuple[RegisteredVersion, ...]
    decision: PromotionDecision
    newest: date


@dataclass(frozen=True)
class TrainingRun(RegisteredTraining):
    """A training: what was learned, and what became of it."""

    fitted: FittedModels

    def to_pandas(self) -> pd.DataFrame:
        """The metrics of the evaluated models and baselines on the last cutoff, with their intervals."""
        return self.fitted.evaluation.to_pandas()


def train_models(business: Business, which: str = "all", *, resume: bool = False) -> TrainingRun:
    """Builds snapshots of every mature cutoff, learns, judges, registers, and asks the gates.

    Args:
        business: An opened log, a config, or the path of a config.
        which: 'churn', 'value', or 'all' that the log supports.
        resume: Whether to go on with a tuning of the same data that was interrupted.

    Raises:
        DataError: The log breaks its contract or is too small to learn from.
        UsageError: Value is asked for and the log has no money, or the tracking store does not answer. If it fell
            silent after the learning, what was learned is kept in a folder that the message names.
    """
    config = config_of(business)
    if which == "value" and not config.has_value:
        raise UsageError(
            "[events] amount is not set: without money there is churn but no value"
            + (" (nor are [subscriptions] price and price_every)" if config.task.churn == "cancelled" else "")
        )
    mlflow_tracking.require_tracking_server(config)
    rows = build.build_snapshots(config)
    registry.connect_to_mlflow(config)
    known = read_fairness_groups(config, rows.cutoffs[-1])
    learned = fit_models(rows, config, resume=resume)
    groups = evaluate_fairness(learned.out_of_time, known, config)
    kinds = ("churn", "value") if which == "all" else (which,)
    kept = run_record.save_training_record(
        learned, rows, config, kinds, model_card_text(learned, rows, config, groups), groups
    )
    settled = _settle(kept, learned.truth, config)
    return TrainingRun(**vars(settled), fitted=learned)


def log_kept_training(config: Config, folder: Path) -> RegisteredTraining:
    """Logs a training that was kept when the tracking store did not answer, and asks the gates.

    Raises:
        UsageError: The folder holds no training of this business, or the store does not answer.
        DataError: The log breaks its contract.
    """
    kept = run_record.load_training_record(folder)
    if kept.facts["name"] != config.name:
        raise UsageError(f"{folder} is a training of {kept.facts['name']!r}, and the config's name is {config.name!r}")
    registry.connect_to_mlflow(config)
    rows = build.build_snapshots(config, [kept.cutoff])
    if rows.rows["churned"].null_count:
        raise UsageError(f"the log no longer reaches a horizon past {kept.cutoff}, the cutoff that judged {folder}")
    return _settle(kept, sample_at(rows, [kept.cutoff]), config)


def training_text(learned: FittedModels) -> str:
    """The figures of the last cutoff beside the ladder, as text for a terminal."""
    metrics = learned.evaluation.metrics
    last = metrics[(metrics.cutoff == learned.split.test.test) & (metrics.segment == "all")]
    models = [name for name in last.model.unique() if name != OURS]
    customers = int(last.customers.iloc[0])
    lines = [f"judged on {customers:,} customers at {learned.split.test.test}, a cutoff that no model had seen", ""]
    lines.append(f"{'':<24}{'regulars (95% interval)':<30}" + "".join(f"{name:>28}" for name in models))
    for metric, title in SHOWN.items():
        rows = last[last.metric == metric].set_index("model")
        if OURS not in rows.index:
            continue
        mine = rows.loc[OURS]
        cell = f"{mine.value:,.4g} ({mine.low:,.4g} to {mine.high:,.4g})"
        others = "".join(f"{rows.value.get(name, float('nan')):>28,.4g}" for name in models)
        better = "higher is better" if metric in HIGHER_IS_BETTER else "nearer 0 is better"
        lines.append(f"{title:<24}{cell:<30}{others}   {better}")
    lines += ["", *(_tuning(kind, tuned) for kind, tuned in learned.tuned.items())] if learned.tuned else []
    lines += _longer(learned.evaluation)
    notes = [learned.split.shortfall] if learned.split.shortfall else []
    lines += ["", *(f"note: {note}" for note in [*notes, *learned.notes])] if notes or learned.notes else []
    return "\n".join(lines)


def _longer(evaluation: Evaluation) -> list[str]:
    """The figures of value over longer horizons, each beside the best of the simpler models."""
    lines, before = [], ""
    for row in longer_horizons.longer_horizon_figures(evaluation):
        if row["horizon"] != before:
            before = row["horizon"]
            lines += ["", f"value over {before}, judged on {row['customers']:,} customers at {row['cutoff']}:"]
        cell = f"{row['value']:,.4g} ({row['low']:,.4g} to {row['high']:,.4g})"
        lines.append(f"{TITLES[row['metric']]:<24}{cell:<30}{_best_rung(row)}".rstrip())
    return lines


def _best_rung(row: Mapping[str, Any]) -> str:
    if not row["rungs"]:
        return ""
    sign = -1 if row["metric"] in HIGHER_IS_BETTER else 1
    name = min(row["rungs"], key=lambda rung: sign * abs(row["rungs"][rung]))
    return f"best of the simpler models: {row['rungs'][name]:,.4g} ({name})"


def _tuning(kind: str, tuned: TuningResult) -> str:
    """What the search found, whether it held on a later cutoff, and what mattered."""
    mattered = ", ".join(f"{name} {share:.0%}" for name, share in list(tuned.importance.items())[:3])
    loss = f"{tuned.default_loss:.4f} with defaults, {tuned.loss:.4f} at best"
    held = ""
    if tuned.later:
        verdict = "so it is used" if tuned.kept else "so the defaults are kept"
        held = f"; on a later cutoff {tuned.later[0]:.4f} and {tuned.later[1]:.4f}, {verdict}"
    said = f"; what mattered: {mattered}" if mattered else ""
    return f"tuning of {kind}: {len(tuned.trials)} trials, loss {loss}{held}{said}"


def training_outcome(settled: RegisteredTraining) -> str:
    """Which versions there are now, and what they are, as text for a terminal."""
    made = ", ".join(f"{v.label}{'' if v.new else ' (as before, bit by bit)'}" for v in settled.versions)
    alias = "champion" if settled.decision.promoted else "challenger"
    return f"{made}, {alias}; MLflow run {settled.versions[0].run_id}"


def training_refusal(settled: RegisteredTraining) -> str:
    """Why a challenger is not champion, how to look at it, and how to promote it by hand."""
    made = " and ".join(v.label for v in settled.versions)
    reasons = "\n".join(f"  - {reason}" for reason in settled.decision.reasons)
    return (
        f"{made} stay{'s' if len(settled.versions) == 1 else ''} challenger, by [training.promote]:\n{reasons}\n"
        "(better: the whole interval is on the better side; ahead: the figure is; level: some of the interval is)\n"
        f"look at it: MLflow run {settled.versions[0].run_id}, models:/{settled.versions[-1].name}@challenger; "
        "make it champion all the same: `regulars promote`"
    )


def _settle(kept: TrainingRecord, truth: Sample, config: Config) -> RegisteredTraining:
    """Logs a record, asks the gates, and moves the aliases; the record's folder goes once all of it is done."""
    try:
        rivals = _rivals(kept, config)
        versions = registry.log_and_register(kept, config)
        decision = _decide(kept, versions, truth, rivals, config)
        if decision.promoted and not all(v.champion for v in versions):
            aliases.set_champions(config, {v.kind: v.version for v in versions})
            versions = tuple(replace(v, champion=True) for v in versions)
    except UsageError as problem:
        raise UsageError(
            f"{problem}\nwhat was learned is kept in {kept.folder}; once the store answers, "
            f"`regulars train --log {kept.folder}` logs it"
        ) from None
    write_text_atomically(config.output / run_record.CARD_FILE, kept.card)
    newest = date.fromisoformat(kept.facts["end"])
    kept.remove()
    return RegisteredTraining(versions, decision, newest)


def _decide(
    kept: TrainingRecord,
    versions: tuple[RegisteredVersion, ...],
    truth: Sample,
    rivals: CurrentChampions,
    config: Config,
) -> PromotionDecision:
    challengers = {v.kind: kept.bundle(v.kind) for v in versions if not v.champion}
    own = str(kept.facts["own"])
    return promotion_gates.decide_promotion(
        kept.evaluation, challengers, kept.judge, truth, kept.cutoff, rivals, config, own
    )


def _rivals(kept: TrainingRecord, config: Config) -> CurrentChampions:
    """The champions as they were before this training was logged, and what can be known of them."""
    models: dict[str, Champion] = {}
    for kind in ("churn", "value"):
        try:
            found = registry.load_champion(config, kind)
        except DataError as problem:
            return CurrentChampions(models, f"{problem}")
        if found is not None:
            models[kind] = found
    return CurrentChampions(models, "", partial(_logged, models, kept, config))


def _logged(models: Mapping[str, Champion], kept: TrainingRecord, config: Config) -> Evaluation | None:
    """The champions' figures where one run logged them all, of the same data; None where that run is gone."""
    runs = {model.version.run_id for model in models.values()}
    if len(runs) != 1:
        return None
    found, ours = registry.load_run_params(config, *runs), kept.facts["params"]
    same = ("data_fingerprint", "task.horizon", "task.churn", "task.active_within")
    if not found or any(found.get(key) != ours.get(key) for key in same) or _rows_of(found) != _rows_of(ours):
        return None
    return registry.load_evaluation(config, *runs)


def _rows_of(params: Mapping[str, Any]) -> str:
    """Whom a training learned from; those of before the choice: all."""
    return str(params.get("learn_from", "all"))

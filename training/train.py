"""The command `train`: from a config's log to registered challengers, promoted to champions if they pass the gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from features.audit.id_notes import id_facts, order_number_notes
from features.config.load import Config
from features.errors import DataError, UsageError
from features.intake.log import Business, Log, opened
from features.snapshots import build
from features.snapshots.build import RowChoice, Snapshots
from features.snapshots.lapsed import build_lapsed_snapshots
from features.storage.atomic_files import write_text_atomically
from training.data.time_split import Sample, sample_at
from training.evaluation.evaluate import Evaluation
from training.evaluation.fairness import evaluate_fairness, read_fairness_groups
from training.evaluation_text import training_text
from training.fit import FittedModels, fit_models
from training.models.lifetime import build_training_rows
from training.registry import aliases, mlflow_tracking, promotion_gates, run_record
from training.registry import models as registry
from training.registry.champion_challenger import CurrentChampions
from training.registry.compatibility import is_outdated
from training.registry.model_card import model_card_text
from training.registry.models import Champion, RegisteredVersion
from training.registry.promotion_gates import AlikeChallengers, PromotionDecision
from training.registry.run_record import SHARE, TrainingRecord
from training.registry.winback_models import winback_config, winback_kind
from training.resources import estimate_training
from training.winback import fit_winback, unregistered_note, winback_rows, winback_text

WINBACK_CARD = "winback_card.md"
SECOND_ORDERS = "`regulars check --second-orders` needs no model: how many first-time buyers order again, and which"
QUICK_REFUSAL = "a quick look never replaces a champion that was trained in full; run `regulars train` without --quick"


@dataclass(frozen=True)
class RegisteredTraining:
    """A training whose models are registered.

    Attributes:
        versions: The registered versions.
        decision: Whether they are promoted, with reasons.
        newest: The first cutoff that can be scored.
        alike: The registered versions of everybody alike; empty if the models have skill.
        quick: Whether it was a quick look.
    """

    versions: tuple[RegisteredVersion, ...]
    decision: PromotionDecision
    newest: date
    alike: tuple[RegisteredVersion, ...]
    quick: bool

    @property
    def champions(self) -> tuple[RegisteredVersion, ...]:
        """What this training made champion: its models, or everybody alike; empty if the champion stays."""
        if self.decision.promoted:
            return self.versions
        return self.alike if self.decision.alike else ()


@dataclass(frozen=True)
class WinbackTraining:
    """What became of the win-back model.

    Attributes:
        settled: The registered training; None if there is none.
        text: Its figures, and what became of it, or why there is none, in words; may be empty.
        fitted: The fitted models with their evaluation.
    """

    settled: RegisteredTraining | None
    text: str
    fitted: FittedModels | None = None


@dataclass(frozen=True)
class TrainingRun(RegisteredTraining):
    """A registered training with its fitted models.

    Attributes:
        fitted: The fitted models.
        winback: What became of the win-back model; None if it was not asked for.
    """

    fitted: FittedModels
    winback: WinbackTraining | None = None

    def to_pandas(self) -> pd.DataFrame:
        """The metrics of the evaluated models and baselines on the last cutoff, with their intervals."""
        return self.fitted.evaluation.to_pandas()


def train_models(
    business: Business,
    which: str = "all",
    *,
    resume: bool = False,
    quick: bool = False,
    report_line: Callable[[str], None] = lambda line: None,
) -> TrainingRun:
    """Builds snapshots of every mature cutoff, fits and evaluates models, registers them, and decides on promotion.

    Args:
        business: An opened log, a config, or the path of a config.
        which: Which models to register: 'churn', 'value', 'winback', or 'all' that the log supports.
        resume: Whether to continue an interrupted tuning of the same data.
        quick: A look in about a tenth of the time: few rows, no tuning, few resamples; its models are marked as quick
            and never replace a champion that is not.
        report_line: Takes what the training will need, in words, before features are built.

    Returns:
        The registered training.

    Raises:
        DataError: The log breaks its contract or is too small to learn from.
        UsageError: 'value' is wanted and the log has no money, or the tracking store does not answer. If it stopped
            answering after the models were fitted, they are kept in a folder that the message names.
    """
    with opened(business) as log:
        config = log.config
        if which == "value":
            config.require_value()
        mlflow_tracking.require_tracking_server(config)
        if quick:
            config = config.model_copy(update={"training": config.training.as_quick()})
        if which == "winback":
            return _train_winback_alone(log, config)
        choice = build.choose_training_rows(log, config.training.rows)
        report_line(estimate_training(choice, config).text)
        rows, latest = build_training_rows(log, config, choice)
        lapsed = build_lapsed_snapshots(log, winback_rows(config)) if which == "all" else None
    registry.connect_to_mlflow(config)
    attributes = read_fairness_groups(config, rows.cutoffs[-1])
    fitted = _fit_or_explain(rows, latest, business, config, resume)
    groups = evaluate_fairness(fitted.out_of_time, attributes, config.training)
    kinds = ("churn", "value") if which == "all" else (which,)
    record = run_record.save_training_record(
        fitted, rows, config, kinds, model_card_text(fitted, rows, config, groups), groups
    )
    settled = _log_and_promote(record, fitted.truth, config)
    winback = _train_winback(lapsed, config) if which == "all" else None
    return TrainingRun(**vars(settled), fitted=fitted, winback=winback)


def _train_winback_alone(log: Log, config: Config) -> TrainingRun:
    """Trains the win-back model and no other; raises DataError if there is none."""
    done = _train_winback(build_lapsed_snapshots(log, winback_rows(config)), config)
    if done.settled is None or done.fitted is None:
        raise DataError(done.text or "[task] lapsed_within is 'off', or contracts end: nobody is scored for win-back")
    return TrainingRun(**vars(done.settled), fitted=done.fitted)


def _train_winback(lapsed: Snapshots | None, config: Config) -> WinbackTraining:
    """Fits, registers and promotes the win-back model, if there are lapsed customers to learn from."""
    made = fit_winback(lapsed, config)
    if made.fitted is None or lapsed is None:
        return WinbackTraining(None, made.note)
    own, groups = winback_config(config), pd.DataFrame()
    card = model_card_text(made.fitted, lapsed, own, groups)
    record = run_record.save_training_record(made.fitted, lapsed, own, (winback_kind(config),), card, groups)
    try:
        settled = _log_and_promote(record, made.fitted.truth, own, WINBACK_CARD)
    except UsageError as problem:
        record.remove()
        return WinbackTraining(None, unregistered_note(problem))
    outcome = training_outcome(settled) if settled.champions else training_refusal(settled)
    return WinbackTraining(settled, f"{winback_text(made.fitted)}; {outcome}", made.fitted)


def _fit_or_explain(
    rows: Snapshots, latest: Snapshots | None, business: Business, config: Config, resume: bool
) -> FittedModels:
    """As `fit_models`; if there is too little to learn from, it says when customer ids look like order numbers."""
    try:
        return fit_models(rows, config, resume=resume, latest=latest)
    except DataError as problem:
        with opened(business) as log, log.stages() as (engine, tables):
            hints = order_number_notes(id_facts(tables, config, engine), tables)
        if not config.task.to_task().contractual:
            hints = [*hints, SECOND_ORDERS]
        raise DataError(". ".join([str(problem).rstrip("."), *hints]) if hints else str(problem)) from None


def log_kept_training(config: Config, folder: Path) -> RegisteredTraining:
    """Logs a training that was kept because the tracking store did not answer, and decides on promotion.

    Raises:
        UsageError: The folder holds no training of this business, or the store does not answer.
        DataError: The log breaks its contract.
    """
    record = run_record.load_training_record(folder)
    if record.facts["name"] != config.name:
        raise UsageError(
            f"{folder} is a training of {record.facts['name']!r}, and the config's name is {config.name!r}"
        )
    registry.connect_to_mlflow(config)
    share = float(record.facts["params"].get(SHARE, 1.0))
    rows = build.build_snapshots(config, choice=RowChoice((record.cutoff,), share))
    if rows.rows["churned"].null_count:
        raise UsageError(
            f"the log no longer reaches a horizon past {record.cutoff}, the cutoff that {folder} was evaluated at"
        )
    return _log_and_promote(record, sample_at(rows, [record.cutoff]), config)


def training_run_text(run: TrainingRun) -> str:
    """The metrics of a training as text for a terminal, those of the win-back model as well."""
    winback = run.winback.text if run.winback else ""
    return "\n\n".join(filter(None, (training_text(run.fitted), winback)))


def training_outcome(registered: RegisteredTraining) -> str:
    """The registered versions and their alias, as text for a terminal."""
    alias = "champion" if registered.decision.promoted else "challenger"
    alias += ", a quick look only" if registered.quick else ""
    alike = f"{_labels(registered.alike)}, everybody alike, champion; " if registered.decision.alike else ""
    return f"{alike}{_labels(registered.versions)}, {alias}; MLflow run {registered.versions[0].run_id}"


def _labels(versions: tuple[RegisteredVersion, ...]) -> str:
    return ", ".join(f"{v.label}{'' if v.new else ' (unchanged, bit for bit)'}" for v in versions)


def training_refusal(registered: RegisteredTraining) -> str:
    """Why a challenger was not promoted, how to inspect it, and how to promote it by hand."""
    versions = " and ".join(v.label for v in registered.versions)
    reasons = "\n".join(f"  - {reason}" for reason in registered.decision.reasons)
    return (
        f"{versions} stay{'s' if len(registered.versions) == 1 else ''} challenger, by [training.promote]:\n{reasons}\n"
        "(better: the whole interval is on the better side; ahead: the estimate is; level: part of the interval is)\n"
        f"to inspect: MLflow run {registered.versions[0].run_id}, models:/{registered.versions[-1].name}@challenger; "
        "to promote anyway: `regulars promote`"
    )


def _log_and_promote(
    record: TrainingRecord, truth: Sample, config: Config, card_file: str = run_record.CARD_FILE
) -> RegisteredTraining:
    """Logs and registers a record, decides on promotion, and then deletes the record's folder."""
    try:
        champions = _current_champions(record, config)
        registered = registry.log_and_register(record, config)
        versions, alike = (tuple(v for v in registered if v.alike is wanted) for wanted in (False, True))
        decision = _decide(record, versions, truth, champions, config)
        chosen = versions if decision.promoted else alike if decision.alike else ()
        if not all(v.champion for v in chosen):
            aliases.set_champions(config, {v.kind: v.version for v in chosen})
    except UsageError as problem:
        raise UsageError(
            f"{problem}\nthe fitted models are kept in {record.folder}; once the store answers, "
            f"`regulars train --log {record.folder}` logs it"
        ) from None
    write_text_atomically(config.output / card_file, record.card)
    newest, quick = date.fromisoformat(record.facts["end"]), record.quick
    record.remove()
    now_champions = tuple(replace(v, champion=True) for v in chosen)
    if decision.promoted:
        return RegisteredTraining(now_champions, decision, newest, alike, quick)
    return RegisteredTraining(versions, decision, newest, now_champions or alike, quick)


def _decide(
    record: TrainingRecord,
    versions: tuple[RegisteredVersion, ...],
    truth: Sample,
    champions: CurrentChampions,
    config: Config,
) -> PromotionDecision:
    if record.quick and not champions.problem and any(not m.bundle.is_quick for m in champions.models.values()):
        return PromotionDecision(False, reasons=(QUICK_REFUSAL,))
    challengers = {v.kind: record.bundle(v.kind) for v in versions if not v.champion}
    alike = None
    if record.has_alike:
        bundles = {kind: record.bundle(f"{run_record.ALIKE}{kind}") for kind in record.kinds}
        alike = AlikeChallengers(bundles, record.bundle(f"{run_record.ALIKE}judge"))
    own = str(record.facts["own"])
    return promotion_gates.decide_promotion(
        record.evaluation, challengers, record.judge, truth, record.cutoff, champions, config, own, alike
    )


def _current_champions(record: TrainingRecord, config: Config) -> CurrentChampions:
    """The champions before this training is logged, with access to their evaluation.

    An outdated champion (another time zone, or features with another definition) can score nobody, so it does not
    count. Neither does a quick look against a full training.
    """
    models: dict[str, Champion] = {}
    for kind in ("churn", "value"):
        try:
            champion = registry.load_champion(config, kind)
        except DataError as problem:
            return CurrentChampions(models, f"{problem}")
        if champion is None or is_outdated(champion.bundle, config.task.timezone):
            continue
        if record.quick or not champion.bundle.is_quick:
            models[kind] = champion
    return CurrentChampions(models, "", partial(_logged_evaluation, models, record, config))


def _logged_evaluation(models: Mapping[str, Champion], record: TrainingRecord, config: Config) -> Evaluation | None:
    """The champions' evaluation, if one run logged all of them on the same data; None if it did not, or is gone."""
    runs = {model.version.run_id for model in models.values()}
    if len(runs) != 1:
        return None
    theirs, ours = registry.load_run_params(config, *runs), record.facts["params"]
    same = ("data_fingerprint", "task.horizon", "task.churn", "task.active_within")
    if not theirs or any(theirs.get(key) != ours.get(key) for key in same) or _rows_of(theirs) != _rows_of(ours):
        return None
    return registry.load_evaluation(config, *runs)


def _rows_of(params: Mapping[str, Any]) -> tuple[str, float]:
    """Which customers a run evaluated, by its parameters; all of them, for runs that are older than a setting."""
    return str(params.get("learn_from", "all")), float(params.get(SHARE, 1.0))

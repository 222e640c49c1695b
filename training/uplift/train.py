"""The command `train uplift`: from randomised contacts to a registered model of each action's effect on customers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from features.campaigns import uplift_dataset
from features.campaigns.required_contacts import require_uplift_contacts
from features.campaigns.uplift_dataset import UpliftDataset
from features.config.load import Config
from features.definitions import feature_definitions
from features.heavy_amounts import ordinary_limit
from features.intake.log import Business, opened
from features.storage.atomic_files import atomic_folder
from training.registry import aliases, mlflow_tracking
from training.registry.models import RegisteredVersion
from training.registry.provenance import runtime_environment
from training.registry.run_record import config_without_credentials
from training.uplift import forward_evaluation, registry
from training.uplift.effects import EvaluatedEffect, UpliftEstimates, effect_figures, estimate_effects
from training.uplift.experiment import ExperimentData, experiment_from_columns
from training.uplift.forward_evaluation import ForwardComparison
from training.uplift.metrics import ConfidenceInterval
from training.uplift.overlap import Overlap, estimate_propensities, measure_overlap

RETURN, VALUE = "return", "value"
UNITS = {RETURN: (100.0, " points"), VALUE: (1.0, "")}
WARNING = (
    "OBSERVATIONAL: these contacts were not randomised. The figures below hold only if the features include everything "
    "that decided who was contacted and also affects the outcomes"
)


@dataclass(frozen=True)
class TrainedUplift:
    """A trained uplift model, its evaluation and its registration.

    Attributes:
        estimates: The model and its evaluation.
        overlap: How comparable the arms were.
        left_out: Number of contacts left out, by reason.
        arms: Customers of each arm, counted once each round, and the mean of each outcome.
        comparisons: Evaluation on later rounds, and against the champion.
        version: The registered version.
        reasons: Why the model is not champion; empty if it is.
        folder: Folder of figures and texts.
        newest: First cutoff that can be scored.
    """

    estimates: UpliftEstimates
    overlap: Overlap
    left_out: dict[str, int]
    arms: pd.DataFrame
    comparisons: tuple[ForwardComparison, ...]
    version: RegisteredVersion
    reasons: tuple[str, ...]
    folder: Path
    newest: date

    @property
    def promoted(self) -> bool:
        """Whether the model is champion."""
        return not self.reasons

    def to_pandas(self) -> pd.DataFrame:
        """The customers of each arm, and the mean of each outcome."""
        return self.arms


def train_uplift(business: Business) -> TrainedUplift:
    """Estimate the effect of each action of [contacts] on return and value with cross-fitting, and register the model.

    Raises:
        UsageError: There are no contacts or no control, or the tracking store does not answer.
        RefusedError: Contacts have no propensity, and the config does not accept an observational estimate.
        DataError: The log breaks its contract, or its contacts cannot be those of an experiment.
    """
    with opened(business) as log:
        config = log.config
        require_uplift_contacts(config)
        mlflow_tracking.require_tracking_server(config)
        dataset = uplift_dataset.build_uplift_dataset(log)
    experiment = experiment_from_trials(dataset, config)
    seed, folds = config.training.seed, config.uplift.folds
    experiment, dataset, balance = _with_balance(experiment, dataset, seed, folds)
    resamples, name = config.training.bootstrap, config.name
    estimates = estimate_effects(
        experiment, seed=seed, folds=folds, resamples=resamples, name=name, proportional=(VALUE,), hierarchical=True
    )
    estimates = replace(
        estimates, bundle=replace(estimates.bundle, task=_task(dataset), facts=_facts(dataset, experiment, config))
    )
    comparisons = _comparisons(estimates, dataset, experiment, config)
    folder = _save_training(estimates, balance, comparisons, dataset, experiment, config)
    figures = _figures(estimates) | _comparison_figures(comparisons, estimates.bundle.actions)
    version = registry.log_uplift_model(estimates.bundle, folder, figures, dataset.rows, config)
    reasons = (*refusal_reasons(estimates), *clearly_worse(comparisons))
    if not reasons and not version.champion:
        aliases.set_champions(config, {"uplift": version.version})
        version = replace(version, champion=True)
    return TrainedUplift(
        estimates,
        balance,
        dict(dataset.left_out),
        _arm_table(experiment),
        comparisons,
        version,
        reasons,
        folder,
        dataset.end,
    )


def _with_balance(
    experiment: ExperimentData, dataset: UpliftDataset, seed: int, folds: int
) -> tuple[ExperimentData, UpliftDataset, Overlap]:
    """The experiment and how comparable its arms are; if observational, its comparable part with propensities."""
    if experiment.source != "observational":
        return experiment, dataset, measure_overlap(experiment)
    compared, kept = estimate_propensities(experiment, seed=seed, folds=folds)
    unlike = int(((experiment.arm > 0) & ~kept).sum())
    left_out = {**dataset.left_out, "of customers unlike all those without a contact": unlike}
    dataset = replace(dataset, rows=dataset.rows.filter(pa.array(kept)), left_out=left_out)
    return compared, dataset, measure_overlap(compared, estimated=True, outside=float(1 - kept.mean()))


def experiment_from_trials(dataset: UpliftDataset, config: Config) -> ExperimentData:
    """Return the experiment's data from a log's contacts, with outcomes return and, if there is money, value.

    A value that outweighs all others is taken for the largest of the others (`ordinary_limit`).
    """
    rows, accepted = dataset.rows, config.uplift.observational
    return experiment_from_columns(
        rows.select(dataset.names),
        rows["action"].to_numpy(zero_copy_only=False),
        _outcomes(rows["returned"].to_numpy(), rows["value"].to_numpy(), config),
        control=dataset.control,
        propensity=None if accepted else rows["propensity"].to_numpy(),
        customers=rows["customer_id"].to_numpy(zero_copy_only=False),
        rounds=rows["round"].to_numpy(zero_copy_only=False),
        actions=config.uplift.actions,
        source="observational" if accepted else "measured",
    )


def _outcomes(returned: np.ndarray, value: np.ndarray, config: Config) -> dict[str, np.ndarray]:
    """The outcomes by name, with the cap of values that these allow; NaN where they are not known."""
    money = {VALUE: np.minimum(value, ordinary_limit(value))} if config.events.amount else {}
    return {RETURN: returned, **money}


def refusal_reasons(estimates: UpliftEstimates) -> list[str]:
    """Return where the model is worse than the average effect for all, on customers that it was not fitted on."""
    reasons = []
    for one in estimates.evaluated:
        where = f"{one.action}, {one.outcome}"
        if one.effect.differs and one.loss_reduction < 0:
            reasons.append(
                f"{where}: its doubly robust loss on customers that it was not fitted on is {-one.loss_reduction:.1f} "
                "standard errors above that of the average effect for all"
            )
        if one.effect.differs and one.area.high < 0:
            reasons.append(f"{where}: ranking by it brings less than targeting at random, {one.area} for each customer")
    return reasons


def clearly_worse(comparisons: Sequence[ForwardComparison]) -> list[str]:
    """Return where another model is closer to later outcomes over the entire confidence interval."""
    return [f"{one.action}, {one.outcome}: {one.summary()}" for one in comparisons if one.worse]


def uplift_text(trained: TrainedUplift) -> str:
    """Return a training's results as text for a terminal."""
    return report_text(trained.estimates, trained.overlap, trained.left_out, trained.arms, trained.comparisons)


def report_text(
    estimates: UpliftEstimates,
    balance: Overlap,
    left_out: dict[str, int],
    arms: pd.DataFrame,
    comparisons: Sequence[ForwardComparison],
) -> str:
    """Return the same text from its parts.

    Args:
        estimates: The model and its evaluation.
        balance: How comparable the arms were.
        left_out: Number of contacts left out, by reason.
        arms: Customers and mean outcomes of each arm.
        comparisons: Evaluation on later rounds, and against the champion.

    Returns:
        The text, several lines.
    """
    lines = [WARNING, ""] if estimates.bundle.source == "observational" else []
    if plans := estimates.bundle.facts.get("plans"):
        lines += [f"learned from the holdouts of measured plans, by intention to treat: {', '.join(plans)}", ""]
    lines.append(arms.to_string(index=False, float_format=lambda v: f"{v:,.4g}"))
    aside = ", ".join(f"{count:,} {why}" for why, count in left_out.items() if count)
    lines += [f"contacts left out: {aside}"] if aside else []
    lines += ["", balance.summary()]
    for one in estimates.evaluated:
        lines += ["", *_effect_lines(one, estimates.bundle.source)]
        key = (one.outcome, one.action)
        of_effect = [other for other in comparisons if (other.outcome, other.action) == key]
        lines += [f"  {_comparison_title(other)}: {other.summary()}" for other in of_effect]
    return "\n".join(lines)


def uplift_outcome(trained: TrainedUplift) -> str:
    """Return the version, its alias and its run as text for a terminal."""
    version = trained.version
    alias = "champion" if trained.promoted else "challenger"
    same = "" if version.new else " (as before, bit by bit)"
    return f"{version.label}{same}, {alias}, {trained.estimates.bundle.source}; {trained.folder}; run {version.run_id}"


def uplift_refusal(trained: TrainedUplift) -> str:
    """Return why the model is not champion, and how to promote it by hand."""
    reasons = "\n".join(f"  - {reason}" for reason in trained.reasons)
    return (
        f"{trained.version.label} stays challenger: it is worse than no model, or than the champion:\n{reasons}\n"
        "to make it champion anyway: `regulars promote uplift`"
    )


def _comparison_title(comparison: ForwardComparison) -> str:
    return (
        "learned from earlier rounds alone"
        if comparison.against == forward_evaluation.AVERAGE_EFFECT
        else "beside the champion"
    )


def _effect_lines(one: EvaluatedEffect, source: str) -> list[str]:
    """One effect in words, with the doubly robust area for observational contacts and the Qini area otherwise."""
    scale, unit = UNITS[one.outcome]
    average, gain = one.average, one.gain
    best = one.learners.iloc[:-1].sort_values("weight", ascending=False, kind="stable")
    weights = ", ".join(f"{row.learner} {row.weight:.0%}" for row in best.itertuples() if row.weight >= 0.005)
    lines = [
        f"{one.action}, effect on {one.outcome}: {average.value * scale:+,.4g}{unit} on average "
        f"({average.low * scale:+,.4g} to {average.high * scale:+,.4g})",
        f"  for whom: {gain.value * scale:+,.4g}{unit} for one standard deviation of the score "
        f"({gain.low * scale:+,.4g} to {gain.high * scale:+,.4g}), p = {one.p_value:.2g}",
        f"  {one.verdict}",
    ]
    if one.effect.differs:
        what = "more returns" if one.outcome == RETURN else "more value"
        area, name = (one.area, "doubly robust area") if source == "observational" else (one.qini, "Qini area")
        lines.append(
            f"  ranking by it brings, per 1,000 customers and against random targeting: {_per_thousand(area)} {what} "
            f"({name})"
        )
        lines.append(f"  learners: {weights}")
    return lines


def _per_thousand(area: ConfidenceInterval) -> str:
    return f"{area.value * 1000:,.4g} ({area.low * 1000:,.4g} to {area.high * 1000:,.4g})"


def _comparisons(
    estimates: UpliftEstimates, dataset: UpliftDataset, experiment: ExperimentData, config: Config
) -> tuple[ForwardComparison, ...]:
    """Comparisons on later rounds, and with the champion if it predicts the same."""
    cutoffs, days = (dataset.rows[name].to_numpy().astype("datetime64[D]") for name in ("cutoff", "day"))

    def known_then(day: date) -> dict[str, np.ndarray]:
        known = dataset.outcomes_as_known(day)
        return _outcomes(known.returned.to_numpy(), known.value.to_numpy(), config)

    comparisons = forward_evaluation.evaluate_forward(
        experiment, cutoffs, estimates.evaluated, days + np.timedelta64(dataset.task.horizon.days, "D"), known_then,
        seed=config.training.seed, folds=config.uplift.folds, money=VALUE,
    )  # fmt: skip
    champion = registry.load_uplift_champion(config)
    if champion is None or not forward_evaluation.same_prediction_target(champion[0], estimates):
        return comparisons
    bundle, version = champion
    return (
        *comparisons,
        *forward_evaluation.compare_with_champion(
            experiment, dataset.rows, cutoffs, estimates.evaluated, bundle, f"the champion {version.label}"
        ),
    )


def _comparison_figures(comparisons: Sequence[ForwardComparison], actions: Sequence[str]) -> dict[str, float]:
    """Comparisons by name, as MLflow takes them."""
    figures: dict[str, float] = {}
    for one in comparisons:
        other = "average" if one.against == forward_evaluation.AVERAGE_EFFECT else "champion"
        key = f"{one.outcome}.{actions.index(one.action) + 1}.ahead_of_{other}"
        figures |= {
            key: one.loss_difference.value,
            f"{key}_low": one.loss_difference.low,
            f"{key}_high": one.loss_difference.high,
        }
    return figures


def _arm_table(experiment: ExperimentData) -> pd.DataFrame:
    rows = []
    for a, name in enumerate(("nothing", *experiment.actions)):
        inside = experiment.arm == a
        means = {f"mean {key}": float(values[inside].mean()) for key, values in experiment.outcomes.items()}
        rows.append({"arm": name, "customers": int(inside.sum()), **means})
    return pd.DataFrame(rows)


def _task(dataset: UpliftDataset) -> dict[str, object]:
    task = dataset.task
    return {"horizon": str(task.horizon), "active_within": str(task.cohort.active_within), "churn": task.churn,
            "windows": [str(w) for w in task.windows], "timezone": task.timezone}  # fmt: skip


def _facts(dataset: UpliftDataset, experiment: ExperimentData, config: Config) -> dict[str, object]:
    return {
        "fingerprint": dataset.fingerprint,
        "data_fingerprint": dataset.data_fingerprint,
        "own_features": dataset.own,
        "definitions": feature_definitions(dataset.names),
        "rounds": [str(day) for day in dataset.rounds],
        "plans": list(dataset.plans),
        "control": dataset.control,
        "customers": len(np.unique(experiment.units)),
        "rows": len(experiment),
        "seed": config.training.seed,
        "folds": config.uplift.folds,
    }


def _figures(estimates: UpliftEstimates) -> dict[str, float]:
    """Figures by name, as MLflow takes them."""
    named: dict[str, float] = {}
    for place, row in enumerate(effect_figures(estimates).itertuples()):
        one = estimates.evaluated[place // 4]
        key = f"{one.outcome}.{estimates.bundle.actions.index(one.action) + 1}.{row.figure}"
        named |= {key: row.value, f"{key}_low": row.low, f"{key}_high": row.high}
    return named


def _save_training(
    estimates: UpliftEstimates,
    balance: Overlap,
    comparisons: Sequence[ForwardComparison],
    dataset: UpliftDataset,
    experiment: ExperimentData,
    config: Config,
) -> Path:
    """Write the model, its figures and its texts into OUTPUT/uplift/learned, and return the folder."""
    folder = config.output / "uplift" / "learned"
    with atomic_folder(folder) as beside:
        estimates.bundle.save(beside / "bundle")
        run = beside / "run"
        run.mkdir()
        effect_figures(estimates).to_csv(run / "figures.csv", index=False)
        for name in ("learners", "calibration"):
            tables = [getattr(one, name).assign(outcome=one.outcome, action=one.action) for one in estimates.evaluated]
            pd.concat(tables).to_csv(run / f"{name}.csv", index=False)
        balance.balance.to_csv(run / "balance.csv", index=False)
        text = report_text(estimates, balance, dict(dataset.left_out), _arm_table(experiment), comparisons)
        (run / "uplift.txt").write_text(text + "\n", encoding="utf-8")
        for name, values in (("config", config_without_credentials(config)), ("environment", runtime_environment())):
            text = json.dumps(values, indent=1, sort_keys=True, default=str)
            (run / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return folder

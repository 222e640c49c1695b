"""The command: from contacts drawn at random to a registered model of what each action changes, and for whom."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from features.atomic_files import atomic_folder
from features.campaigns import uplift_dataset
from features.campaigns.uplift_dataset import UpliftDataset
from features.config.load import Config
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
    "OBSERVATIONAL: nobody drew these contacts at random. What follows holds only if everything that decided who was "
    "contacted, and matters for what came, is among the features"
)


@dataclass(frozen=True)
class TrainedUplift:
    """What became of a training of effects.

    Attributes:
        estimates: The model and how it did.
        overlap: How alike the arms were.
        left_out: How many contacts did not count, by the reason.
        arms: Customers of each arm, counted once each round, and the mean of each outcome.
        comparisons: How it did on later rounds, and beside the champion before it.
        version: As registered.
        reasons: Why it is not champion; empty where it is.
        folder: Its figures and texts.
        newest: First cutoff that can be asked about.
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
        """Whether it is champion."""
        return not self.reasons


def train_uplift(config: Config) -> TrainedUplift:
    """Learns the effect of every action of [contacts] on return and value, judges it crosswise, and registers it.

    Raises:
        UsageError: There are no contacts or no control, or the tracking store does not answer.
        RefusedError: Nothing says how contacts were drawn, and the config does not accept an observational estimate.
        DataError: The log breaks its contract, or its contacts cannot be those of a trial.
    """
    uplift_dataset.require_uplift_contacts(config)
    mlflow_tracking.require_tracking_server(config)
    found = uplift_dataset.build_uplift_dataset(config)
    trial = experiment_from_trials(found, config)
    seed, folds = config.training.seed, config.uplift.folds
    if trial.source == "observational":
        trial, outside = estimate_propensities(trial, seed=seed, folds=folds)
        alike = measure_overlap(trial, estimated=True, outside=outside)
    else:
        alike = measure_overlap(trial)
    made = estimate_effects(
        trial, seed=seed, folds=folds, resamples=config.training.bootstrap, name=config.name, proportional=(VALUE,)
    )
    made = replace(made, bundle=replace(made.bundle, task=_task(found), facts=_facts(found, trial, config)))
    leads = _leads(made, found, trial, config)
    folder = _keep(made, alike, leads, found, trial, config)
    version = registry.log_uplift_model(
        made.bundle, folder, _figures(made) | _ahead(leads, made.bundle.actions), found.rows, config
    )
    reasons = (*refusal_reasons(made), *clearly_worse(leads))
    if not reasons and not version.champion:
        aliases.set_champions(config, {"uplift": version.version})
        version = replace(version, champion=True)
    return TrainedUplift(made, alike, dict(found.left_out), _arms(trial), leads, version, reasons, folder, found.end)


def experiment_from_trials(found: UpliftDataset, config: Config) -> ExperimentData:
    """The trial of a log's contacts, with return and, where there is money, value as outcomes."""
    rows, accepted = found.rows, config.uplift.observational
    outcomes = {RETURN: rows["returned"].to_numpy()}
    if config.events.amount:
        outcomes[VALUE] = rows["value"].to_numpy()
    return experiment_from_columns(
        rows.select(found.names),
        rows["action"].to_numpy(zero_copy_only=False),
        outcomes,
        control=found.control,
        propensity=None if accepted else rows["propensity"].to_numpy(),
        customers=rows["customer_id"].to_numpy(zero_copy_only=False),
        rounds=rows["round"].to_numpy(zero_copy_only=False),
        actions=config.uplift.actions,
        source="observational" if accepted else "measured",
    )


def refusal_reasons(made: UpliftEstimates) -> list[str]:
    """Where the model is worse than none: than the average effect for all, on customers it had not seen."""
    found = []
    for one in made.evaluated:
        where = f"{one.action}, {one.outcome}"
        if one.effect.differs and one.loss_reduction < 0:
            found.append(
                f"{where}: its doubly robust loss on customers that it had not seen is {-one.loss_reduction:.1f} "
                "standard errors above that of the average effect for all"
            )
        if one.effect.differs and one.area.high < 0:
            found.append(f"{where}: ranking by it brings less than targeting at random, {one.area} for each customer")
    return found


def clearly_worse(leads: Sequence[ForwardComparison]) -> list[str]:
    """Where the model is clearly farther from what came than another that could be had."""
    return [f"{one.action}, {one.outcome}: {one.summary()}" for one in leads if one.worse]


def uplift_text(trained: TrainedUplift) -> str:
    """What was found, as text for a terminal."""
    return report_text(trained.estimates, trained.overlap, trained.left_out, trained.arms, trained.comparisons)


def report_text(
    made: UpliftEstimates,
    alike: Overlap,
    left_out: dict[str, int],
    arms: pd.DataFrame,
    leads: Sequence[ForwardComparison],
) -> str:
    """The same, from its parts."""
    lines = [WARNING, ""] if made.bundle.source == "observational" else []
    if plans := made.bundle.facts.get("plans"):
        lines += [f"learned from the holdouts of measured plans, by who was meant to get what: {', '.join(plans)}", ""]
    lines.append(arms.to_string(index=False, float_format=lambda v: f"{v:,.4g}"))
    aside = ", ".join(f"{count:,} {why}" for why, count in left_out.items() if count)
    lines += [f"contacts that do not count: {aside}"] if aside else []
    lines += ["", alike.summary()]
    for one in made.evaluated:
        lines += ["", *_told(one, made.bundle.source)]
        mine = [lead for lead in leads if (lead.outcome, lead.action) == (one.outcome, one.action)]
        lines += [f"  {_way(lead)}: {lead.summary()}" for lead in mine]
    return "\n".join(lines)


def uplift_outcome(trained: TrainedUplift) -> str:
    """Which version there is now, and what it is, as text for a terminal."""
    version = trained.version
    alias = "champion" if trained.promoted else "challenger"
    same = "" if version.new else " (as before, bit by bit)"
    return f"{version.label}{same}, {alias}, {trained.estimates.bundle.source}; {trained.folder}; run {version.run_id}"


def uplift_refusal(trained: TrainedUplift) -> str:
    """Why the model is not champion, and how to make it so by hand."""
    reasons = "\n".join(f"  - {reason}" for reason in trained.reasons)
    return (
        f"{trained.version.label} stays challenger: it is worse than no model, or than the one before:\n{reasons}\n"
        "make it champion all the same: `regulars promote uplift`"
    )


def _way(lead: ForwardComparison) -> str:
    return (
        "learned from earlier rounds alone"
        if lead.against == forward_evaluation.AVERAGE_EFFECT
        else "beside the champion"
    )


def _told(one: EvaluatedEffect, source: str) -> list[str]:
    """One effect in words; areas of doubly robust scores where no draw makes the arms alike, else Qini's."""
    scale, unit = UNITS[one.outcome]
    average, gain = one.average, one.gain
    best = one.learners.iloc[:-1].sort_values("weight", ascending=False, kind="stable")
    voices = ", ".join(f"{row.learner} {row.weight:.0%}" for row in best.itertuples() if row.weight >= 0.005)
    lines = [
        f"{one.action}, effect on {one.outcome}: {average.value * scale:+,.4g}{unit} on average "
        f"({average.low * scale:+,.4g} to {average.high * scale:+,.4g})",
        f"  for whom: {gain.value * scale:+,.4g}{unit} for one spread of the score "
        f"({gain.low * scale:+,.4g} to {gain.high * scale:+,.4g}), p = {one.p_value:.2g}",
        f"  {one.verdict}",
    ]
    if one.effect.differs:
        what = "more returns" if one.outcome == RETURN else "more value"
        area, name = (one.area, "doubly robust area") if source == "observational" else (one.qini, "Qini area")
        lines.append(f"  ranking by it brings, over random, for 1,000 customers: {_thousand(area)} {what} ({name})")
        lines.append(f"  learners: {voices}")
    return lines


def _thousand(area: ConfidenceInterval) -> str:
    return f"{area.value * 1000:,.4g} ({area.low * 1000:,.4g} to {area.high * 1000:,.4g})"


def _leads(
    made: UpliftEstimates, found: UpliftDataset, trial: ExperimentData, config: Config
) -> tuple[ForwardComparison, ...]:
    """Forward in time, and beside the champion, where there is one that foresees the same."""
    cutoffs = found.rows["cutoff"].to_numpy().astype("datetime64[D]")
    leads = forward_evaluation.evaluate_forward(
        trial, cutoffs, made.evaluated, found.task.horizon.days,
        seed=config.training.seed, folds=config.uplift.folds, money=VALUE,
    )  # fmt: skip
    before = registry.load_uplift_champion(config)
    if before is None or not forward_evaluation.same_prediction_target(before[0], made):
        return leads
    bundle, version = before
    return (
        *leads,
        *forward_evaluation.compare_with_champion(
            trial, found.rows, cutoffs, made.evaluated, bundle, f"the champion {version.label}"
        ),
    )


def _ahead(leads: Sequence[ForwardComparison], actions: Sequence[str]) -> dict[str, float]:
    """Leads by name, as MLflow takes them."""
    found: dict[str, float] = {}
    for one in leads:
        other = "average" if one.against == forward_evaluation.AVERAGE_EFFECT else "champion"
        key = f"{one.outcome}.{actions.index(one.action) + 1}.ahead_of_{other}"
        found |= {
            key: one.loss_difference.value,
            f"{key}_low": one.loss_difference.low,
            f"{key}_high": one.loss_difference.high,
        }
    return found


def _arms(trial: ExperimentData) -> pd.DataFrame:
    rows = []
    for a, name in enumerate(("nothing", *trial.actions)):
        mine = trial.arm == a
        means = {f"mean {key}": float(values[mine].mean()) for key, values in trial.outcomes.items()}
        rows.append({"arm": name, "customers": int(mine.sum()), **means})
    return pd.DataFrame(rows)


def _task(found: UpliftDataset) -> dict[str, object]:
    task = found.task
    return {"horizon": str(task.horizon), "active_within": str(task.cohort.active_within), "churn": task.churn,
            "windows": [str(w) for w in task.windows]}  # fmt: skip


def _facts(found: UpliftDataset, trial: ExperimentData, config: Config) -> dict[str, object]:
    return {
        "fingerprint": found.fingerprint,
        "data_fingerprint": found.data_fingerprint,
        "own_features": found.own,
        "rounds": [str(day) for day in found.rounds],
        "plans": list(found.plans),
        "control": found.control,
        "customers": len(np.unique(trial.units)),
        "rows": len(trial),
        "seed": config.training.seed,
        "folds": config.uplift.folds,
    }


def _figures(made: UpliftEstimates) -> dict[str, float]:
    """Figures by name, as MLflow takes them."""
    found: dict[str, float] = {}
    for place, row in enumerate(effect_figures(made).itertuples()):
        one = made.evaluated[place // 4]
        key = f"{one.outcome}.{made.bundle.actions.index(one.action) + 1}.{row.figure}"
        found |= {key: row.value, f"{key}_low": row.low, f"{key}_high": row.high}
    return found


def _keep(
    made: UpliftEstimates,
    alike: Overlap,
    leads: Sequence[ForwardComparison],
    found: UpliftDataset,
    trial: ExperimentData,
    config: Config,
) -> Path:
    """Writes the model's text and its figures into OUTPUT/uplift/learned; returns the folder."""
    folder = config.output / "uplift" / "learned"
    with atomic_folder(folder) as beside:
        made.bundle.save(beside / "bundle")
        run = beside / "run"
        run.mkdir()
        effect_figures(made).to_csv(run / "figures.csv", index=False)
        for name in ("learners", "calibration"):
            tables = [getattr(one, name).assign(outcome=one.outcome, action=one.action) for one in made.evaluated]
            pd.concat(tables).to_csv(run / f"{name}.csv", index=False)
        alike.balance.to_csv(run / "balance.csv", index=False)
        text = report_text(made, alike, dict(found.left_out), _arms(trial), leads)
        (run / "uplift.txt").write_text(text + "\n", encoding="utf-8")
        for name, values in (("config", config_without_credentials(config)), ("environment", runtime_environment())):
            text = json.dumps(values, indent=1, sort_keys=True, default=str)
            (run / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return folder

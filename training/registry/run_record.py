"""The record of a training as text files, logged to MLflow at once, or later if its server does not answer.

Layout: `facts.json` (parameters, tags, figures, data, trials), `bundles/{churn,value,judge}` (the same with the prefix
`alike-`, if everybody alike scores in their place), and `run/`, whose files become the run's artefacts unchanged:
`model_card.md`, `config.json`, `environment.json`, `evaluation/*.csv`, `plots/*.png`. There is no pickle and no
customer's row.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from features.config.load import Config
from features.config.plan import without_customer_ids
from features.config.table_sections import TableSection
from features.errors import UsageError
from features.snapshots.build import Snapshots
from features.storage.atomic_files import atomic_folder
from training.artifact.bundle import ModelBundle
from training.artifact.model_files import BundleError
from training.artifact.reasons import Wording
from training.evaluation import plots
from training.evaluation.evaluate import OURS, Evaluation
from training.fit import FittedModels
from training.registry.provenance import code_version, package_version, runtime_environment

EVALUATION_TABLES = ("metrics", "differences", "groups")
WORDING_FIELDS = tuple(field.name for field in fields(Wording) if field.name != "name")
ALIKE = "alike-"  # before the names of bundles that treat everybody alike
FACTS_FILE, RUN_FOLDER, BUNDLES_FOLDER, CARD_FILE = "facts.json", "run", "bundles", "model_card.md"
QUICK_TAG = "regulars.quick"  # of runs and model versions of a quick look
HEADLINES = (  # the metrics of a run; all others are in its table
    "auc", "average_precision", "brier", "log_loss", "calibration_slope", "expected_leavers", "spearman", "gini",
    "deviance", "mae", "total_error", "decile_error", "coverage",
)  # fmt: skip
WITH_INTERVAL = ("auc", "brier", "deviance", "total_error")
BY_CUTOFF = ("auc", "total_error")  # also drawn over cutoffs
SHARE = "customers_share"  # parameter of a run: of the log's customers, those that it used; 1 in runs without it
FORMAT = 2


@dataclass(frozen=True)
class TrainingRecord:
    """A training saved in a folder.

    Attributes:
        folder: The folder.
        facts: format, name, cutoff (the last one, of the evaluation), end, own, params, tags, metrics, inputs, trials,
            examples, wording.
    """

    folder: Path
    facts: dict[str, Any]

    @property
    def run(self) -> Path:
        """The folder of the run's artefacts."""
        return self.folder / RUN_FOLDER

    @property
    def cutoff(self) -> date:
        """The last cutoff, on which models were evaluated."""
        return date.fromisoformat(self.facts["cutoff"])

    @property
    def quick(self) -> bool:
        """Whether it was a quick look."""
        return QUICK_TAG in self.facts["tags"]

    @property
    def card(self) -> str:
        """The model card."""
        return (self.run / CARD_FILE).read_text(encoding="utf-8")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of models to register: 'churn', 'value', or both."""
        return tuple(self.facts["kinds"])

    @property
    def has_alike(self) -> bool:
        """Whether everybody alike is there as models of the same kinds, because the models have no skill."""
        return (self.folder / BUNDLES_FOLDER / f"{ALIKE}judge").exists()

    @cached_property
    def judge(self) -> ModelBundle:
        """The evaluation model, which was not fitted on the last cutoff."""
        return self.bundle("judge")

    def bundle(self, kind: str) -> ModelBundle:
        """Return one of churn, value and judge, with or without ALIKE; raise UsageError if it is not complete."""
        try:
            return ModelBundle.load(self.folder / BUNDLES_FOLDER / kind)
        except BundleError as problem:
            raise UsageError(f"{self.folder}: {problem}") from None

    @cached_property
    def evaluation(self) -> Evaluation:
        """The evaluation's tables."""
        return Evaluation(**{name: _table(self.run / "evaluation" / f"{name}.csv") for name in EVALUATION_TABLES})

    def remove(self) -> None:
        """Remove the folder, once all of it is in MLflow."""
        shutil.rmtree(self.folder)
        if not any(self.folder.parent.iterdir()):
            self.folder.parent.rmdir()


def save_training_record(
    fitted: FittedModels,
    snapshots: Snapshots,
    config: Config,
    kinds: tuple[str, ...],
    card: str,
    fairness: pd.DataFrame,
) -> TrainingRecord:
    """Save a training in a folder of OUTPUT/unlogged, named after its last cutoff and its models' digest.

    Args:
        fitted: The fitted models, with their evaluation.
        snapshots: The snapshots that they were fitted on.
        config: The business.
        kinds: The kinds of models to register.
        card: The model card, Markdown.
        fairness: Figures by group of customers; may be empty.

    Returns:
        The record.
    """
    bundles = {b.kind: b for b in (fitted.churn, fitted.value) if b is not None and b.kind in kinds}
    fullest = fitted.value or fitted.churn
    folder = config.output / "unlogged" / f"{fitted.split.test.test}-{fullest.digest}"
    facts = _facts(fitted, snapshots, config, bundles)
    with atomic_folder(folder) as beside:
        for name, bundle in {**bundles, "judge": fitted.evaluated, **_alike_bundles(fitted, kinds)}.items():
            bundle.save(beside / BUNDLES_FOLDER / name)
        _write_run(beside / RUN_FOLDER, fitted, config, card, fairness)
        (beside / FACTS_FILE).write_text(_json(facts), encoding="utf-8")
    return TrainingRecord(folder, facts)


def _alike_bundles(fitted: FittedModels, kinds: tuple[str, ...]) -> dict[str, ModelBundle]:
    """Everybody alike as models of the same kinds, by name; empty if the models have skill."""
    if fitted.alike is None:
        return {}
    named = {f"{ALIKE}{bundle.kind}": bundle for bundle in fitted.alike.models if bundle.kind in kinds}
    return {**named, f"{ALIKE}judge": fitted.alike.evaluated}


def load_training_record(folder: Path) -> TrainingRecord:
    """Load a record that `save_training_record` wrote.

    Raises:
        UsageError: The folder is missing, or is not a training of ours.
    """
    try:
        facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
        saved_format = facts["format"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{folder} is not a training saved for later: expected a folder of OUTPUT/unlogged with {FACTS_FILE}"
        ) from None
    if saved_format != FORMAT:
        raise UsageError(
            f"{folder}: made by another version of regulars; expected format {FORMAT}, found {saved_format}: log it "
            "with that version, or train again"
        )
    return TrainingRecord(folder, facts)


def _write_run(folder: Path, fitted: FittedModels, config: Config, card: str, fairness: pd.DataFrame) -> None:
    (folder / "evaluation").mkdir(parents=True)
    (folder / "plots").mkdir()
    for name in EVALUATION_TABLES:
        getattr(fitted.evaluation, name).to_csv(folder / "evaluation" / f"{name}.csv", index=False)
    if len(fairness):
        fairness.to_csv(folder / "evaluation" / "fairness.csv", index=False)
    for name, figure in _plots(fitted):
        figure.savefig(folder / "plots" / f"{name}.png")
    (folder / CARD_FILE).write_text(card, encoding="utf-8")
    (folder / "config.json").write_text(_json(config_without_credentials(config)), encoding="utf-8")
    tuning = {kind: asdict(replace(tuned, trials=())) for kind, tuned in fitted.tuned.items()}
    (folder / "tuning.json").write_text(_json(tuning), encoding="utf-8")
    (folder / "environment.json").write_text(_json(runtime_environment()), encoding="utf-8")


def _plots(fitted: FittedModels) -> Iterator[tuple[str, Figure]]:
    churn = fitted.predictions["churn_probability"]
    yield "calibration", plots.calibration_plot(fitted.truth, churn)
    yield "roc", plots.roc_plot(fitted.truth, churn)
    yield "precision_recall", plots.precision_recall_plot(fitted.truth, churn)
    yield "lift", plots.lift_plot(fitted.truth, churn)
    contributions = plots.feature_contributions(fitted.evaluated, fitted.truth)
    yield "importance", plots.importance_plot(contributions)
    yield "shap", plots.contributions_plot(contributions)
    if "value" in fitted.predictions:
        yield "deciles", plots.decile_plot(fitted.truth, fitted.predictions["value"])


def _facts(
    fitted: FittedModels, snapshots: Snapshots, config: Config, bundles: dict[str, ModelBundle]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": config.name,
        "kinds": list(bundles),
        "cutoff": str(fitted.split.test.test),
        "end": str(snapshots.end),
        "own": snapshots.own,
        "params": _params(fitted, snapshots, config),
        "tags": {
            "regulars.fingerprint": snapshots.fingerprint,
            "regulars.version": package_version(),
            "regulars.code": code_version(),
            **({QUICK_TAG: "true"} if fitted.churn.is_quick else {}),
        },
        "metrics": list(_metrics(fitted.evaluation)),
        "inputs": list(_inputs(snapshots, config)),
        "trials": [
            {"of": name, "number": trial.number, "loss": trial.loss, "parameters": trial.parameters}
            for name, tuned in fitted.tuned.items()
            for trial in tuned.trials
        ],
        "examples": {kind: _example_row(snapshots, bundle) for kind, bundle in bundles.items()},
        "wording": {
            feature.name: {field: getattr(feature, field) for field in WORDING_FIELDS} for feature in snapshots.features
        },
    }


def _params(fitted: FittedModels, snapshots: Snapshots, config: Config) -> dict[str, Any]:
    params = {
        **{f"task.{key}": value for key, value in fitted.churn.task.items()},
        **{f"{name}.{key}": v for name, tuned in fitted.tuned.items() for key, v in tuned.used.items()},
        **{f"{name}.members": weights for name, weights in fitted.evaluated.facts["members"].items()},
        "seed": config.training.seed,
        "trials": config.training.trials,
        "learn_from": config.training.learn_from,
        "features": len(snapshots.features),
        "own_features": snapshots.own,
        "rows": snapshots.rows.num_rows,
        SHARE: snapshots.choice.share if snapshots.choice else 1.0,
        "cutoffs": len(fitted.split.all_cutoffs),
        "data_fingerprint": snapshots.data_fingerprint,
        "snapshot_fingerprint": snapshots.fingerprint,
        "evaluated_without": " and ".join(fitted.evaluated_without) or "nothing",
    }
    return {key: _param_text(value) for key, value in params.items()}


def _param_text(value: Any) -> str:
    """A parameter in plain text: numbers of NumPy as numbers, rounded in lists, and lists as JSON.

    >>> _param_text([np.float64(0.5), np.float64(1 / 3)]), _param_text(np.float64(0.1)), _param_text("90d")
    ('[0.5, 0.3333]', '0.1', '90d')
    """
    if isinstance(value, list | tuple | np.ndarray):
        return json.dumps([round(float(each), 4) if isinstance(each, float) else each for each in value])
    return str(value.item() if isinstance(value, np.generic) else value)


def _metrics(evaluation: Evaluation) -> Iterator[tuple[str, float, int]]:
    """Our headline metrics as (key, value, step): of the last cutoff, and of every cutoff with its day as the step.

    All others, by segment and of the baselines too, are in the table evaluation/metrics.csv.
    """
    ours = evaluation.metrics[(evaluation.metrics.model == OURS) & (evaluation.metrics.segment == "all")]
    for row in ours[ours.metric.isin(BY_CUTOFF)].sort_values("cutoff", kind="stable").to_dict("records"):
        yield f"{row['metric']}_by_cutoff", row["value"], int(f"{row['cutoff']:%Y%m%d}")
    last = ours[ours.cutoff == ours.groupby("metric").cutoff.transform("max")].set_index("metric")
    for name in (name for name in HEADLINES if name in last.index):
        ends = {f"{name}_low": "low", f"{name}_high": "high"} if name in WITH_INTERVAL else {}
        for key, column in {name: "value", **ends}.items():
            if np.isfinite(last.loc[name, column]):
                yield key, float(last.loc[name, column]), 0


def _inputs(snapshots: Snapshots, config: Config) -> Iterator[dict[str, Any]]:
    """The snapshots and their source tables as MLflow's datasets: descriptions without rows."""
    rows, digest = snapshots.rows, snapshots.data_fingerprint
    yield {
        "name": f"{config.name} snapshots",
        "context": "training",
        "digest": snapshots.fingerprint,
        "source": _source_name(config.events),
        "columns": [(field.name, _column_kind(field.type)) for field in rows.schema],
        "counts": {
            "num_rows": rows.num_rows,
            "customers": len(rows["customer_id"].unique()),
            "cutoffs": len(rows["cutoff"].unique()),
        },
    }
    sides = ("customers", "contacts", "subscriptions", "identity")
    tables = {"events": config.events, **{f"activities.{k}": v for k, v in config.activities.items()}}
    for name, section in {**tables, **{side: getattr(config, side) for side in sides}}.items():
        if section is not None:
            description = {"name": f"{config.name} {name}", "context": "source", "digest": digest, "columns": []}
            yield {**description, "source": _source_name(section), "counts": {}}


def _source_name(section: TableSection) -> str:
    """A section's source without credentials and options, and its table."""
    source = _url_without_credentials(section.source)
    return f"{source} table {section.table}" if section.table else source


def _url_without_credentials(text: str) -> str:
    """A URL without credentials and options; any other text unchanged.

    >>> _url_without_credentials("postgresql://me@db/shop?sslkey=k")
    'postgresql://db/shop'
    >>> _url_without_credentials("data/*.parquet")
    'data/*.parquet'
    """
    return re.sub(r"://.*@", "://", text).split("?")[0] if "://" in text else text


def config_without_credentials(config: Config) -> dict[str, Any]:
    """Return the config as JSON, without credentials and options in URLs, and without customers' ids."""

    def cleaned(key: str, value: Any) -> Any:
        if key == "exclude":
            return [without_customer_ids(rule) for rule in value]
        if isinstance(value, dict):
            return {name: cleaned(name, inner) for name, inner in value.items()}
        return _url_without_credentials(value) if key in ("source", "uri") else value

    return {name: cleaned(name, value) for name, value in config.model_dump(mode="json").items()}


def _column_kind(column_type: pa.DataType) -> str:
    if pa.types.is_timestamp(column_type):
        return "datetime"
    return "string" if pa.types.is_string(column_type) or pa.types.is_large_string(column_type) else "double"


def _example_row(snapshots: Snapshots, bundle: ModelBundle) -> dict[str, float | str | None]:
    """An artificial row of medians and commonest levels: an input example without any customer's data.

    The shares of features that are predictions follow the features, since reasons need them.
    """

    def typical(name: str) -> float | str | None:
        if name in bundle.levels:
            return next(iter(bundle.levels[name]), "other")
        median = pc.quantile(snapshots.rows[name], 0.5)[0].as_py()
        return None if median is None else float(median)

    shares = (name for name in snapshots.rows.column_names if name.partition(":")[0] in bundle.features and ":" in name)
    return {name: typical(name) for name in (*bundle.features, *shares)}


def _table(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path)
    table["cutoff"] = pd.to_datetime(table["cutoff"]).dt.date
    return table


def _json(values: Any) -> str:
    return json.dumps(values, indent=1, sort_keys=True, default=str) + "\n"

"""How well the model predicts which life policies are surrendered within a year, compared with usual alternatives.

The table of policies is cut at 2009-05-11, and training sees nothing later: our model learns from yearly cutoffs with
default settings and scores the policies in force on that day; the rest of the table is the truth. The alternatives
learn from the same policies, with their attributes as well as their age, and are evaluated on the same customers:

- a tenure hazard table: the share of policies that was surrendered in each year of age;
- a Cox model of the time to surrender, from which follows the probability for the next year, given the age so far;
- a discrete-time logistic regression: a policy in force at a yearly cutoff is a row;
- LightGBM on the same rows, with its own defaults and with smaller trees, as an experienced user would set them.

Only the Cox model needs lifelines. Version 0.30 requires pandas below 3 but works with 3 too:
`pip install --no-deps lifelines autograd autograd-gamma formulaic interface-meta wrapt`. Without it the Cox model is
left out, and the script says so.

    python benchmarks/lapse.py [--data DIR] [--trials N]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler

from features.audit import audit
from features.config.load import Config, TrainingConfig, load_config
from features.engines.open import open_engine
from features.errors import UsageError
from features.intake import read_log
from features.snapshots.build import snapshots_from_tables
from training.data.prediction import Prediction
from training.data.time_split import Sample, sample_at
from training.evaluation.evaluate import CONFIDENCE, HIGHER_IS_BETTER, OURS, Evaluation, evaluate_predictions
from training.evaluation.tenure_hazard import AGE, tenure_hazard_baseline
from training.fit import fit_models

HERE = Path(__file__).resolve().parent
CUTOFF = date(2009, 5, 11)
DATA_SOURCE = (
    "us_life_lapse.parquet: the data frame `uslapseagent` of the R package CASdatasets (https://dutangc.github.io/"
    "CASdatasets/), one row a policy, with the columns policy_id, start, end (empty while in force), end_cause "
    "(surrender, death, other), accident_rider, gender, premium_frequency, risk_state, underwriting_age, living_place "
    "and annual_premium_standardised"
)
TITLES = {"auc": ("AUC", "{:.3f}"), "brier": ("Brier score", "{:.5f}"), "log_loss": ("log loss", "{:.4f}")}
RESAMPLES = 1000


@dataclass(frozen=True)
class PeerData:
    """The data from which the alternative models learn, and the policies that they score.

    Attributes:
        rows: One row for each policy in force at a yearly cutoff whose year was over by CUTOFF: age (days),
            attributes, churned.
        scored: The policies in force at CUTOFF, with the same columns.
        policies: One row for each policy that began before CUTOFF, as known then: duration (days), surrendered,
            attributes.
        attributes: The names of the attributes.
    """

    rows: pd.DataFrame
    scored: pd.DataFrame
    policies: pd.DataFrame
    attributes: list[str]


def main(arguments: Sequence[str]) -> int:
    """Prints the table; if the data are absent, says where to get them."""
    options = _options(arguments)
    config = load_lapse_config(options.data, options.trials)
    if config is None:
        print(f"skipped, the data are not there. Where to get them: {DATA_SOURCE}", file=sys.stderr)
        return 0
    print(measure(config))
    return 0


def load_lapse_config(data: Path, trials: int) -> Config | None:
    """The config of `lapse.toml` with the path of its file, or None if the file is absent."""
    config = load_config(HERE / "lapse.toml")
    source = (data / Path(config.events.source).name).resolve()
    if not source.exists() or config.subscriptions is None or config.customers is None:
        return None
    there = {"source": str(source)}
    return config.model_copy(
        update={
            "events": config.events.model_copy(update=there),
            "subscriptions": config.subscriptions.model_copy(update=there),
            "customers": config.customers.model_copy(update=there),
            "training": config.training.model_copy(update={"trials": trials}),
        }
    )


def cut(config: Config, day: date) -> Config:
    """The config of the table as it was on a day."""
    sections = {"events": config.events, "subscriptions": config.subscriptions}
    return config.model_copy(update={k: s.model_copy(update={"until": str(day)}) for k, s in sections.items() if s})


def measure(config: Config) -> str:
    """Trains on the table as it was at CUTOFF and judges what is said of the policies in force on that day."""
    task = config.task.to_task()
    with open_engine(config.engine, config.folder) as engine:
        truth = sample_at(snapshots_from_tables(read_log.read_tables(config, engine), task, [CUTOFF], engine), [CUTOFF])
    then = cut(config, CUTOFF)
    with open_engine(config.engine, config.folder) as engine:
        tables = audit.with_too_long_windows(read_log.read_tables(then, engine), task)
        snapshots = snapshots_from_tables(tables, task, audit.mature_cutoffs(tables, task), engine)
        now = snapshots_from_tables(tables, task, [CUTOFF], engine, with_labels=False)
    if not now.rows["customer_id"].equals(truth.customers):
        raise UsageError("the policies in force changed when the table was cut: something looks ahead")
    fitted = fit_models(snapshots, then)
    examples = sample_at(snapshots, fitted.split.all_cutoffs)
    models = {OURS: Prediction(fitted.churn.predict(now.rows)["churn_probability"], None)}
    models["tenure hazard table"] = Prediction(tenure_hazard_baseline(examples, truth, task.horizon).churn, None)
    past = _peer_data(config, examples, truth)
    models |= {name: Prediction(peer(past), None) for name, peer in PEERS.items() if _is_installed(name)}
    evaluation = evaluate_predictions(models, truth, CUTOFF, seed=config.training.seed, resamples=RESAMPLES)
    cutoffs = sorted({f"{moment:%Y-%m-%d}" for moment in snapshots.rows["cutoff"].unique().to_pylist()})
    head = (
        f"### {config.name}, {task.horizon} ahead\n\nLearned from {len(examples):,} rows of {len(cutoffs)} cutoffs "
        f"({cutoffs[0]} to {cutoffs[-1]}). Evaluated on {len(truth):,} policies in force at {CUTOFF}: "
        f"{truth.churned.mean():.2%} were surrendered within {task.horizon}.\n"
    )
    return "\n".join([head, *table(evaluation, models, truth)])


def table(evaluation: Evaluation, models: dict[str, Prediction], truth: Sample) -> list[str]:
    """A row for each model: metrics with confidence intervals, paired differences to ours, and the mean prediction."""
    metrics = evaluation.metrics.set_index(["metric", "model"])
    gaps = evaluation.differences.set_index(["metric", "against"])
    titles = [f"{title} {'↑' if m in HIGHER_IS_BETTER else '↓'} | {OURS} minus it" for m, (title, _) in TITLES.items()]
    lines = [f"| model | {' | '.join(titles)} | mean predicted (actual {truth.churned.mean():.2%}) |"]
    lines.append("|:---|" + "---:|" * (2 * len(TITLES) + 1))
    for name, prediction in models.items():
        cells = []
        for metric, (_, form) in TITLES.items():
            row = metrics.loc[(metric, name)]
            cells.append(f"{form.format(row.value)} ({form.format(row.low)} to {form.format(row.high)})")
            cells.append("" if name == OURS else _gap(gaps.loc[(metric, name)], metric, form))
        lines.append(f"| {name} | {' | '.join(cells)} | {prediction.churn.mean():.2%} |")
    return [
        *lines,
        "",
        f"✓ ours is better, ✗ worse: the {CONFIDENCE:.0%} interval of the paired difference leaves out 0.",
    ]


def _gap(row: pd.Series, metric: str, form: str) -> str:
    signed = form.replace(":", ":+")
    better = row.low > 0 if metric in HIGHER_IS_BETTER else row.high < 0
    worse = row.high < 0 if metric in HIGHER_IS_BETTER else row.low > 0
    mark = " ✓" if better else " ✗" if worse else ""
    return f"{signed.format(row.difference)} ({signed.format(row.low)} to {signed.format(row.high)}){mark}"


# The alternative models


def predict_cox(past: PeerData) -> np.ndarray:
    """Probability of surrender within a year given the age so far, by a proportional hazards model (lifelines)."""
    from lifelines import CoxPHFitter

    frame = pd.get_dummies(past.policies, columns=_texts(past), drop_first=True, dtype=float)
    model = CoxPHFitter().fit(frame, duration_col="duration", event_col="surrendered")
    policies = pd.get_dummies(past.scored, columns=_texts(past), dtype=float).reindex(
        columns=frame.columns, fill_value=0.0
    )
    base = model.baseline_cumulative_hazard_.iloc[:, 0]
    days = past.scored["age"].to_numpy()
    grown = np.interp(days + 365, base.index, base.to_numpy()) - np.interp(days, base.index, base.to_numpy())
    return 1 - np.exp(-grown * model.predict_partial_hazard(policies).to_numpy())


def predict_logistic(past: PeerData) -> np.ndarray:
    """A logistic regression of the yearly rows on a spline of the age, and the attributes."""
    numbers = [name for name in past.attributes if name not in _texts(past)]
    columns = make_column_transformer(
        (SplineTransformer(n_knots=6, knots="quantile"), ["age"]),
        (OneHotEncoder(handle_unknown="ignore"), _texts(past)),
        (StandardScaler(), numbers),
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=2000)).fit(past.rows, past.rows["churned"])
    return np.asarray(model.predict_proba(past.scored)[:, 1])


def predict_lightgbm(past: PeerData, **parameters: float) -> np.ndarray:
    """LightGBM on the yearly rows of age and attributes; parameters that are not given keep LightGBM's defaults."""
    names = ["age", *past.attributes]
    rows, policies = (
        frame[names].astype({name: pd.CategoricalDtype(sorted(past.rows[name].unique())) for name in _texts(past)})
        for frame in (past.rows, past.scored)
    )
    model = lgb.LGBMClassifier(**{"random_state": 7, "verbosity": -1, **parameters})
    return np.asarray(model.fit(rows, past.rows["churned"]).predict_proba(policies))[:, 1]


PEERS: dict[str, Callable[[PeerData], np.ndarray]] = {
    "Cox (lifelines)": predict_cox,
    "discrete-time logistic": predict_logistic,
    "LightGBM with tenure": predict_lightgbm,
    "LightGBM, set by hand": partial(
        predict_lightgbm, n_estimators=150, learning_rate=0.05, num_leaves=15, min_child_samples=100
    ),
}


def _is_installed(name: str) -> bool:
    if name != "Cox (lifelines)" or find_spec("lifelines"):
        return True
    print("left out the Cox model: lifelines is not installed (see the docstring)", file=sys.stderr)
    return False


def _texts(past: PeerData) -> list[str]:
    return [name for name in past.attributes if not pd.api.types.is_numeric_dtype(past.rows[name])]


def _peer_data(config: Config, examples: Sample, scored: Sample) -> PeerData:
    """The tables of the alternative models: yearly rows and scored policies from our snapshots, all from the file."""
    if config.customers is None:
        raise UsageError("lapse.toml has no [customers]")
    names = list(config.customers.attributes)
    raw = pd.read_parquet(config.customers.source).set_index("policy_id")
    known = raw[pd.to_datetime(raw["start"]) < pd.Timestamp(CUTOFF)]
    start, end = (pd.to_datetime(known[name]) for name in ("start", "end"))
    ended = end < pd.Timestamp(CUTOFF)
    policies = known[names].assign(
        duration=(end.where(ended, pd.Timestamp(CUTOFF)) - start).dt.days.clip(lower=1),
        surrendered=(ended & (known["end_cause"] == "surrender")).astype(int),
    )
    rows, now = (_frame(sample, raw[names]) for sample in (examples, scored))
    return PeerData(rows, now, policies, names)


def _frame(sample: Sample, attributes: pd.DataFrame) -> pd.DataFrame:
    ids = sample.customers.to_pylist()
    frame = attributes.loc[ids].reset_index(drop=True)
    return frame.assign(age=sample.column(AGE), churned=sample.churned)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    default = TrainingConfig().trials
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where the file is (benchmarks/data)")
    parser.add_argument("--trials", type=int, default=default, help=f"tuning trials ({default})")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

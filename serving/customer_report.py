"""The report on one customer for the terminal: refuses what cannot be explained before anything large is imported."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.config.load import Config, load_config
from features.errors import RegularsError, UsageError, printable
from features.intake.customer_ids import known_names, output_id_rule
from features.intake.identifiers import RULE_VERSION
from serving.language.formats import task_terms
from serving.scoring.score_tables import read_scores
from serving.winback.text import lapsed_customer_text

if TYPE_CHECKING:
    from features.intake.log import Business

MOST_SIMILAR = 3  # ids that are named


def explain_customer(
    business: Business, customer: str, cutoff: date, below: float | None = None, with_what_if: bool = True
) -> str:
    """Explain the predictions for one customer: the numbers, their reasons, and what-if changes, as text.

    A lapsed customer is explained from the table that `regulars score` wrote, without what-if changes.

    Args:
        business: An opened log, a config, or the path of a config.
        customer: The customer's id.
        cutoff: The cutoff.
        below: The risk that what-if changes must come below, in (0, 1); by default the mean of the cutoff's cohort.
        with_what_if: Whether to search for what-if changes; that takes part of a build of the cutoff.

    Returns:
        The text.

    Raises:
        UsageError: There is no champion, no row names the customer, the customer is not in the cutoff's cohort, or the
            level is no probability.
    """
    require_probability(below)
    config = _config(business)
    ids = None if config.identity else _scored_ids(config, cutoff)
    is_scored = ids is not None and _has_any(ids, known_names(config, customer))
    if not is_scored and (lapsed := lapsed_customer_text(config, known_names(config, customer), cutoff)):
        return lapsed
    if ids is not None and not is_scored:
        raise _not_scored(config, customer, cutoff, ids)
    from features.intake.log import opened  # imported late, as all that follows: engine and models take seconds
    from features.snapshots.known_customers import require_known_customer

    with opened(business) as log:
        if not is_scored:
            require_known_customer(log, customer)
        from serving.customer_report_text import explanation_text

        return explanation_text(log, customer, cutoff, below, with_what_if)


def require_probability(below: float | None) -> None:
    """Raise UsageError if the level for what-if changes is no probability."""
    if below is not None and not 0 < below < 1:
        raise UsageError(f"--below is a probability: expected a number between 0 and 1, found {below:g}")


def _config(business: Business) -> Config:
    """The config of a business, as `config_of`, without the engine."""
    if isinstance(business, Config):
        return business
    return load_config(str(business)) if isinstance(business, str | Path) else business.config


def _scored_ids(config: Config, cutoff: date) -> pa.ChunkedArray | None:
    """The ids in the scores of a cutoff; None if there are none that can be read, or of an earlier rule for ids."""
    with suppress(RegularsError, OSError):
        if output_id_rule(config) != RULE_VERSION:
            return None
        scores = read_scores(config, cutoff)
        parts = [pq.ParquetFile(scores.folder / part["file"]) for part in scores.manifest.parts]
        return pa.chunked_array(
            [chunk for part in parts for chunk in part.read(columns=["customer_id"])["customer_id"].chunks], pa.string()
        )
    return None


def _has_any(ids: pa.ChunkedArray, names: tuple[str, ...]) -> bool:
    return any(pc.index(ids, name).as_py() >= 0 for name in names)


def _not_scored(config: Config, customer: str, cutoff: date, ids: pa.ChunkedArray) -> UsageError:
    """The error for a customer who is not among those scored at a cutoff; names similar ids."""
    similar = [] if config.privacy.hash_ids else _similar(ids, known_names(config, customer)[0])
    hint = f" (close to it: {', '.join(similar)})" if similar else ""
    return UsageError(
        f"customer {customer!r} is not among the {len(ids):,} customers scored at {cutoff}, who "
        f"{task_terms(config.task).member}; check the id{hint}, or run `regulars score --cutoff {cutoff}` again if the "
        "log has changed since"
    )


def _similar(ids: pa.ChunkedArray, customer: str) -> list[str]:
    """The ids that differ in the fewest characters, at most a quarter of them."""
    import duckdb

    rows = pa.table({"id": ids})
    with duckdb.connect() as connection:
        connection.register("scored", rows)
        near = connection.execute(
            "SELECT id FROM scored WHERE levenshtein(id, $1) <= $2 ORDER BY levenshtein(id, $1), id LIMIT $3",
            [customer, max(1, len(customer) // 4), MOST_SIMILAR],
        ).fetchall()
    return [printable(name, keep="") for (name,) in near]

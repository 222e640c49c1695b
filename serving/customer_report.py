"""The report on one customer for the terminal: refuses what cannot be explained before anything large is imported."""

from __future__ import annotations

from contextlib import suppress
from datetime import date

import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.config.load import Config
from features.errors import RegularsError, UsageError
from features.intake.identity import customer_names, persons_of
from features.intake.log import Business, opened
from features.snapshots.known_customers import require_known_customer
from serving.scoring.score_tables import read_scores


def explain_customer(
    business: Business, customer: str, cutoff: date, below: float | None = None, with_what_if: bool = True
) -> str:
    """Explain the predictions for one customer: the numbers, their reasons, and what-if changes, as text.

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
    with opened(business) as log:
        if not _is_scored(log.config, customer, cutoff):
            require_known_customer(log, customer)
        from serving.customer_report_text import explanation_text  # imported late: models take seconds to import

        return explanation_text(log, customer, cutoff, below, with_what_if)


def require_probability(below: float | None) -> None:
    """Raise UsageError if the level for what-if changes is no probability."""
    if below is not None and not 0 < below < 1:
        raise UsageError(f"--below is a probability: expected a number between 0 and 1, found {below:g}")


def _is_scored(config: Config, customer: str, cutoff: date) -> bool:
    """Whether the scores of the cutoff, if there are any, have the customer."""
    names = customer_names(config, persons_of(config), customer, cutoff)
    with suppress(RegularsError, OSError):  # scores that are missing or damaged say nothing
        scores = read_scores(config, cutoff)
        for part in scores.manifest.parts:
            ids = pq.ParquetFile(scores.folder / part["file"]).read(columns=["customer_id"])["customer_id"]
            if any(pc.index(ids, name).as_py() >= 0 for name in names):
                return True
    return False

"""Whether effects last, in sentences for terminal, report and page."""

from __future__ import annotations

from collections.abc import Iterator

from features.outputs.manifests import Measurement
from serving.language.formats import NumberFormat
from serving.language.messages import N_, Language

ALL = "all"
KINDS = {
    "lasting": N_("the effect lasts"),
    "fading": N_("the effect fades"),
    "pulled forward": N_("purchases were only pulled forward"),
    "open": N_("too uncertain to tell whether it lasts"),
}


def later_sentences(measured: Measurement, tr: Language) -> Iterator[str]:
    """Yield what became of each effect on value after the horizon; nothing before the log reaches so far.

    Args:
        measured: The measurement.
        tr: The language.

    Yields:
        One sentence for each action, and for all of them, and number of horizons.
    """
    for row in measured.later:
        form = NumberFormat(0.0, tr)
        first, later, low, high, whole, whole_low, whole_high = (
            form.money(number, "+").replace("-", "−") for number in (row["first"][0], *row["later"], *row["whole"])
        )
        yield tr(
            "{action}: {first} of value a customer within {days} days, then {later} ({low} to {high}) until day {end}, "
            "in all {whole} ({whole_low} to {whole_high}): {kind}.",
            action=tr("all") if row["action"] == ALL else row["action"], first=first, later=later, low=low, high=high,
            days=measured.horizon_days, end=row["horizons"] * measured.horizon_days, whole=whole, whole_low=whole_low,
            whole_high=whole_high, kind=tr(KINDS[str(row["kind"])]),
        )  # fmt: skip

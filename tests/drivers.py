"""The drivers of a prediction in one call, as scoring computes them chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from features.feature import Feature
from serving.explanation.contributions import Contributions
from serving.explanation.drivers import drivers_from_tally, sample_for_directions, tally_contributions


def rank_drivers(part: Contributions, features: pa.Table, catalog: Sequence[Feature]) -> list[dict[str, Any]]:
    """Rank the drivers of a prediction over these customers.

    Args:
        part: The contributions of n customers.
        features: Their features (n rows).
        catalog: The features in the order of the contributions' columns.

    Returns:
        The drivers, strongest first, as `drivers_from_tally` returns them.
    """
    text = [feature.name for feature in catalog if feature.dtype == "string"]
    levels = {name: features[name].drop_null().unique().to_pylist() for name in text}
    sample = (
        sample_for_directions(features["customer_id"])
        if "customer_id" in features.column_names
        else np.arange(len(part.total))
    )
    tally = tally_contributions(part, features, catalog, levels, sample)
    return drivers_from_tally(tally, part.unit, features.take(pa.array(sample)), catalog, levels)

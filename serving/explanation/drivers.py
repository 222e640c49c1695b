"""The drivers of a prediction over all customers: how strongly each feature moves it, and in which direction.

Customers are read in pieces that are not kept. Sums are integers of a small unit, so they are exact and do not depend
on how the customers were cut into pieces. The direction is a rank correlation, which needs its customers together: it
uses all customers up to 10,000, and beyond that the 10,000 whose ids come first in the order of a fixed hash, the same
ones in every run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import rankdata

from features.feature import Feature
from serving.explanation.contributions import Contributions
from training.data.category_levels import FEWEST_CUSTOMERS

SAMPLE_SIZE = 10_000
UNIT_BITS = {"probability": 44, "money": 20}  # a sum's unit is 2**-bits: 6e-14 in probability, 1e-6 in money
HALF_BITS = 26  # units are summed in two halves, so that each sum stays below 2**63
MOST_DRIVERS = 30  # drivers in a manifest
Tally = dict[str, np.ndarray]
Levels = Mapping[str, Sequence[str]]


def sample_for_directions(customers: pa.ChunkedArray, count: int = SAMPLE_SIZE) -> np.ndarray:
    """Return the row numbers, ascending, of the customers from whom directions are computed.

    >>> sample_for_directions(pa.chunked_array([["a", "b", "c", "d"]]), count=2).tolist()
    [0, 2]
    """
    if len(customers) <= count:
        return np.arange(len(customers))
    hashes = [hashlib.blake2b(c.encode(), digest_size=8).digest() for c in customers.to_pylist()]
    order = np.argsort(np.frombuffer(b"".join(hashes), dtype=">u8"), kind="stable")
    return np.sort(order[:count])


def tally_contributions(
    part: Contributions, features: pa.Table, catalog: Sequence[Feature], levels: Levels, places: np.ndarray
) -> Tally:
    """Sum up the contributions of a piece of the customers.

    Args:
        part: The contributions of n customers.
        features: Their features (n rows).
        catalog: The features in the order of the contributions' columns.
        levels: The known levels of each text feature.
        places: The row numbers of the sampled customers among the n.

    Returns:
        rows (1,), strength (2, p), level_rows (L,) and level_sums (2, L) of all levels in turn, and shares (m, p): the
        contributions of the sampled customers. Sums are in units, as two halves.
    """
    units = np.rint(np.ldexp(part.values, UNIT_BITS[part.unit])).astype(np.int64)
    counts, sums = [np.zeros(0, np.int64)], [np.zeros((2, 0), np.int64)]
    for name, known in levels.items():
        column = next(place for place, feature in enumerate(catalog) if feature.name == name)
        count, total = _by_level(features[name], known, units[:, column])
        counts.append(count)
        sums.append(total)
    return {
        "rows": np.array([len(units)]),
        "strength": _halves(np.abs(units)).sum(axis=1),
        "level_rows": np.concatenate(counts),
        "level_sums": np.concatenate(sums, axis=1),
        "shares": part.values[places],
    }


def merge_tallies(tallies: Sequence[Tally]) -> Tally:
    """Merge the tallies of all pieces, given in the order of the customers."""
    first = tallies[0]
    return {
        name: np.concatenate([t[name] for t in tallies])
        if name.endswith("shares")
        else np.sum([t[name] for t in tallies], axis=0)
        for name in first
    }


def drivers_from_tally(
    tally: Tally, unit: str, features: pa.Table, catalog: Sequence[Feature], levels: Levels
) -> list[dict[str, Any]]:
    """Return the drivers, strongest first, from the tally of all customers.

    Args:
        tally: The tally of all customers.
        unit: The unit of the contributions, 'probability' or 'money'.
        features: The features of the sampled customers, in the order of `shares`.
        catalog: The features in the order of the contributions' columns.
        levels: The levels with which the tally was computed.

    Returns:
        feature, phrase, family, strength (mean absolute contribution) and direction (rank correlation of the
        feature with its contribution, in [-1, 1]; positive: more of it raises the prediction). A text feature has
        direction 0, and names the levels that raise the prediction most (`highest`) and least (`lowest`).
    """
    count = int(tally["rows"][0])
    totals = _joined_halves(tally["strength"])
    extremes = _extremes(tally, levels)
    rows = []
    for place in sorted(range(len(catalog)), key=lambda place: (-totals[place], place)):
        feature = catalog[place]
        if not totals[place]:
            break
        extreme_levels = extremes[feature.name] if feature.name in levels else {}
        direction = 0.0 if feature.dtype == "string" else _direction(features[feature.name], tally["shares"][:, place])
        strength = totals[place] / (count << UNIT_BITS[unit])
        texts = {"feature": feature.name, "phrase": feature.phrase, "family": feature.family, "strength": strength}
        rows.append({**texts, "direction": direction, **extreme_levels})
    return rows


def _halves(units: np.ndarray) -> np.ndarray:
    """Split integers (...) into two halves (2, ...), of which the first counts 2**26 times."""
    return np.stack([units >> HALF_BITS, units & ((1 << HALF_BITS) - 1)])


def _joined_halves(halves: np.ndarray) -> list[int]:
    """Join the halves of sums (2, k) to Python's integers, which do not overflow."""
    return [(int(high) << HALF_BITS) + int(low) for high, low in halves.T]


def _by_level(column: pa.ChunkedArray, known: Sequence[str], units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of customers (L,) and the sums (2, L) of each known level."""
    codes = pc.index_in(column.cast(pa.string()), value_set=pa.array(known, pa.string()))
    present = codes.is_valid().to_numpy()
    place = codes.fill_null(0).to_numpy()[present]
    sums = np.zeros((2, len(known)), np.int64)
    for half, half_units in zip(sums, _halves(units[present]), strict=True):
        np.add.at(half, place, half_units)
    return np.bincount(place, minlength=len(known)).astype(np.int64), sums


def _extremes(tally: Tally, levels: Levels) -> dict[str, dict[str, str]]:
    """Return the highest and the lowest level of each feature; levels of few customers are left out."""
    totals, counts = _joined_halves(tally["level_sums"]), tally["level_rows"].tolist()
    extremes: dict[str, dict[str, str]] = {}
    start = 0
    for name, names in levels.items():
        means = {
            level: totals[place] / counts[place]
            for place, level in enumerate(names, start)
            if counts[place] >= FEWEST_CUSTOMERS
        }
        order = sorted(means, key=lambda level: (-means[level], level))  # noqa: B023 (used at once)
        extremes[name] = {"highest": order[0], "lowest": order[-1]} if len(order) > 1 else {}
        start += len(names)
    return extremes


def _direction(column: pa.ChunkedArray, contribution: np.ndarray) -> float:
    values = column.to_numpy().astype(float)
    known = ~np.isnan(values)
    a, b = values[known], contribution[known]
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])

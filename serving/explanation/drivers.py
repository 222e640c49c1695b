"""What drives a number over all customers: how strongly each feature moves it, and which way.

Customers come in pieces, and no piece is kept: sums run in whole multiples of a small unit, so they are exact and
the same however the customers were cut into pieces. Which way a feature moves the number is a rank correlation, which
needs its customers at once: it is taken over all of them up to 10,000, and beyond that over the 10,000 whose ids come
first in the order of a fixed hash, the same ones in every run.
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
UNIT_BITS = {
    "probability": 44,
    "money": 20,
}  # a sum's unit is 2 to the minus so many: 6e-14 points, 1e-6 of the currency
HALF_BITS = 26  # a number of units is summed in two halves, of which each stays below 2**63
MOST_DRIVERS = 30  # drivers that a manifest names
Tally = dict[str, np.ndarray]
Levels = Mapping[str, Sequence[str]]


def sample_for_directions(customers: pa.ChunkedArray, count: int = SAMPLE_SIZE) -> np.ndarray:
    """The places, ascending, of the customers over whom directions are taken.

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
    """What a piece of the customers adds to the sums.

    Args:
        part: Of n customers.
        features: Their features (n rows).
        catalog: The features in the order of the contributions' columns.
        levels: Of each feature of text, the levels that are told apart.
        places: Of the sampled customers among the n.

    Returns:
        rows (1,), strength (2, p), level_rows (L,) and level_sums (2, L) of all levels in turn, shares (m, p) of the
        sampled. Sums are in units, in two halves.
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
    """The tally of all pieces, given in the order of the customers."""
    first = tallies[0]
    return {
        name: np.concatenate([t[name] for t in tallies])
        if name.endswith("shares")
        else np.sum([t[name] for t in tallies], axis=0)
        for name in first
    }


def drivers_from_tally(
    whole: Tally, unit: str, features: pa.Table, catalog: Sequence[Feature], levels: Levels
) -> list[dict[str, Any]]:
    """The drivers, strongest first, from the tally of everyone.

    Args:
        whole: Of all customers.
        unit: Of the contributions.
        features: Of the sampled customers, in the order of `shares`.
        catalog: The features in the order of the contributions' columns.
        levels: As they were tallied.

    Returns:
        feature, phrase, family, strength (mean absolute contribution) and direction (rank correlation of the
        feature with its contribution, in [-1, 1]; positive: more of it raises the number). A feature of levels has
        the direction 0, and says which level raises the number most (`highest`) and least (`lowest`).
    """
    count = int(whole["rows"][0])
    totals = _whole(whole["strength"])
    extremes = _extremes(whole, levels)
    rows = []
    for place in sorted(range(len(catalog)), key=lambda place: (-totals[place], place)):
        feature = catalog[place]
        if not totals[place]:
            break
        way = extremes[feature.name] if feature.name in levels else {}
        direction = 0.0 if feature.dtype == "string" else _direction(features[feature.name], whole["shares"][:, place])
        strength = totals[place] / (count << UNIT_BITS[unit])
        told = {"feature": feature.name, "phrase": feature.phrase, "family": feature.family, "strength": strength}
        rows.append({**told, "direction": direction, **way})
    return rows


def rank_drivers(part: Contributions, features: pa.Table, catalog: Sequence[Feature]) -> list[dict[str, Any]]:
    """What drives a number over these customers, strongest first, as `strongest` gives it.

    Args:
        part: Of n customers.
        features: Their features (n rows).
        catalog: The features in the order of the contributions' columns.
    """
    text = [feature.name for feature in catalog if feature.dtype == "string"]
    levels = {name: features[name].drop_null().unique().to_pylist() for name in text}
    places = (
        sample_for_directions(features["customer_id"])
        if "customer_id" in features.column_names
        else np.arange(len(part.total))
    )
    whole = tally_contributions(part, features, catalog, levels, places)
    return drivers_from_tally(whole, part.unit, features.take(pa.array(places)), catalog, levels)


def _halves(units: np.ndarray) -> np.ndarray:
    """Whole numbers (...) as two (2, ...), of which the first counts 2**26 times."""
    return np.stack([units >> HALF_BITS, units & ((1 << HALF_BITS) - 1)])


def _whole(halves: np.ndarray) -> list[int]:
    """Sums (2, k) in halves as Python's own whole numbers, which do not overflow."""
    return [(int(high) << HALF_BITS) + int(low) for high, low in halves.T]


def _by_level(column: pa.ChunkedArray, known: Sequence[str], units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Customers (L,) and sums (2, L) of each known level."""
    codes = pc.index_in(column.cast(pa.string()), value_set=pa.array(known, pa.string()))
    there = codes.is_valid().to_numpy()
    place = codes.fill_null(0).to_numpy()[there]
    sums = np.zeros((2, len(known)), np.int64)
    for half, of_each in zip(sums, _halves(units[there]), strict=True):
        np.add.at(half, place, of_each)
    return np.bincount(place, minlength=len(known)).astype(np.int64), sums


def _extremes(whole: Tally, levels: Levels) -> dict[str, dict[str, str]]:
    """The highest and the lowest level of each feature; levels that few customers have are not named."""
    totals, counts = _whole(whole["level_sums"]), whole["level_rows"].tolist()
    found: dict[str, dict[str, str]] = {}
    start = 0
    for name, known in levels.items():
        means = {
            level: totals[place] / counts[place]
            for place, level in enumerate(known, start)
            if counts[place] >= FEWEST_CUSTOMERS
        }
        order = sorted(means, key=lambda level: (-means[level], level))  # noqa: B023 (used at once)
        found[name] = {"highest": order[0], "lowest": order[-1]} if len(order) > 1 else {}
        start += len(known)
    return found


def _direction(column: pa.ChunkedArray, contribution: np.ndarray) -> float:
    values = column.to_numpy().astype(float)
    known = ~np.isnan(values)
    a, b = values[known], contribution[known]
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])

"""Writes a simulated business: customers with a known hazard, value and treatment effect, of any number.

Customers are drawn in blocks of 1,000, each with its own seeds. So neither the size of a chunk nor the number of
customers changes what a customer does.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from features.errors import UsageError, sample
from features.simulation.business import (
    HORIZON,
    SECONDS,
    Business,
    Population,
    apply_contacts,
    draw_lognormal,
    draw_orders,
    draw_population,
    expected_orders,
)
from features.simulation.kinds import CONFIG, CONTACTS_CONFIG, KINDS, SHOP
from features.simulation.settings import CONTROL, Settings
from features.storage.atomic_files import atomic_folder, refuse_other_kind

MOST_CUSTOMERS = 100_000_000
BLOCK_SIZE = 1_000  # customers drawn from one seed; the next line numbers the random streams of a block
POPULATION, CONTACTS, ORDERS, LINES = range(4)
ENTRIES = {"events", "usage", "terms", "contacts", "truth", "simulation.json", "regulars.toml"}


@dataclass(frozen=True)
class SimulatedBusiness:
    """What was written.

    Attributes:
        folder: The folder of the simulation.
        config: The config file in it.
        start: First day of the period.
        end: First day after the period.
        customers: How many customers.
        events: Rows of events, or of usage.
        contacts: Rows of contacts.
    """

    folder: Path
    config: Path
    start: date
    end: date
    customers: int
    events: int
    contacts: int


def simulate_business(
    out: Path,
    customers: int,
    *,
    days: int = 730,
    start: date = date(2023, 1, 1),
    seed: int,
    chunk: int = 50_000,
    kind: str = SHOP,
    settings: Settings | None = None,
) -> SimulatedBusiness:
    """Writes a simulated business into a folder, completely or not at all; the same seed gives the same bytes.

    Args:
        out: The folder for `events/` (or `usage/` and `terms/`), `contacts/` and `truth/` (Parquet), `simulation.json`
            and a `regulars.toml`; an earlier simulation there is replaced.
        customers: How many, at most 100 million.
        days: Length of the period [start, start + days), UTC.
        start: Its first day.
        seed: The only source of randomness, 0 or more.
        chunk: Customers in a part file, rounded up to blocks of 1,000; only this determines how much memory is needed.
        kind: One of KINDS: 'shop', 'groceries', 'subscription', 'app' or 'b2b'.
        settings: The properties of the business; None: those of its kind.

    Returns:
        Where the files are, the period, and the numbers of rows.

    Raises:
        UsageError: A number is out of range, or the folder holds something else or cannot be written.
    """
    for name, number, least in (("customers", customers, 1), ("days", days, 1), ("seed", seed, 0), ("chunk", chunk, 1)):
        if number < least:
            raise UsageError(f"{name}: expected {least} or more, found {number}")
    if customers > MOST_CUSTOMERS:
        raise UsageError(f"customers: expected at most {MOST_CUSTOMERS:,}, found {customers:,}")
    try:
        start + timedelta(days=days + HORIZON)
    except OverflowError:
        raise UsageError(f"days: {days} days from {start} end beyond the year 9999; give fewer") from None
    if kind not in KINDS:
        raise UsageError(f"kind: expected one of {', '.join(KINDS)}, found {kind!r}")
    _refuse_other_content(out)
    business = Business(start, days, settings or KINDS[kind].settings, seed)
    with atomic_folder(out) as folder:
        try:
            rows = _write_parts(folder, business, kind, customers, -(-chunk // BLOCK_SIZE))
        except OSError as problem:
            raise UsageError(f"{out} cannot be written: {problem.strerror or problem}") from None
    end, contacts = start + timedelta(days=days), rows.get("contacts", 0)
    events = rows["usage"] if KINDS[kind].terms else rows["events"]
    return SimulatedBusiness(out, out / "regulars.toml", start, end, customers, events, contacts)


def _refuse_other_content(out: Path) -> None:
    """Raises UsageError if the folder holds anything but a simulation without files of others, or is none."""
    refuse_other_kind(out, "folder")
    present = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []
    unexpected = [name for name in present if "simulation.json" not in present or name not in ENTRIES]
    if unexpected:
        raise UsageError(f"{out} holds {sample(unexpected)}; give a new or empty folder")


def _write_parts(folder: Path, business: Business, kind: str, customers: int, blocks: int) -> dict[str, int]:
    """Writes part files of `blocks` blocks each, the settings and the config; returns the rows of each table."""
    rows: dict[str, int] = {}
    with tqdm(total=customers, desc="simulating", unit=" customers", leave=False, disable=None) as bar:
        for part, first in enumerate(range(0, customers, blocks * BLOCK_SIZE)):
            last = min(first + blocks * BLOCK_SIZE, customers)
            blocks_drawn = []
            for begin in range(first, last, BLOCK_SIZE):
                blocks_drawn.append(_draw_block(business, kind, begin // BLOCK_SIZE, min(BLOCK_SIZE, last - begin)))
                bar.update(min(BLOCK_SIZE, last - begin))
            for name in blocks_drawn[0]:
                table = pa.concat_tables([tables[name] for tables in blocks_drawn])
                (folder / name).mkdir(exist_ok=True)
                place = folder.absolute() / name / f"part-{part:05d}.parquet"  # Arrow takes 'a:b' for an address
                pq.write_table(table, place, compression="zstd")
                rows[name] = rows.get(name, 0) + table.num_rows
    parameters = {"customers": customers, "days": business.days, "start": str(business.start), "seed": business.seed}
    facts = {**parameters, "kind": kind, "control": CONTROL, "settings": asdict(business.settings)}
    (folder / "simulation.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    end = business.start + timedelta(days=business.days)
    contacts = CONTACTS_CONFIG if "contacts" in rows else ""
    made = KINDS[kind]
    config = CONFIG.format(
        **parameters, kind=kind, end=end, horizon=made.horizon, log=made.log.format(end=end), contacts=contacts,
        task=made.task,
    )  # fmt: skip
    (folder / "regulars.toml").write_text(config, encoding="utf-8")
    return rows


def _draw_block(business: Business, kind: str, block: int, number: int) -> dict[str, pa.Table]:
    """Draws a whole block and returns the tables of its first `number` customers."""
    settings = business.settings
    population = draw_population(BLOCK_SIZE, business, business.rng(block, POPULATION))
    ids = pc.binary_join_element_wise("c", pc.utf8_lpad(_text(np.arange(BLOCK_SIZE) + block * BLOCK_SIZE), 9, "0"), "")
    arms = _draw_arms(population, business, business.rng(block, CONTACTS))
    received = np.where(arms < len(settings.actions), arms, -1)
    population = apply_contacts(population, business, received)
    who, moment = draw_orders(population, business, received, (0, business.days), business.rng(block, ORDERS))
    tables = {
        "events": _event_lines(population, ids, who, moment, business, business.rng(block, LINES)),
        "truth": _truth_rows(population, ids, received, business),
        **({"contacts": _contact_rows(arms, ids, business)} if settings.actions else {}),
    }
    tables = KINDS[kind].tables(tables, population, business)
    return {name: t.filter(pc.is_in(t["customer_id"], ids[:number])) for name, t in tables.items()}


def _draw_arms(population: Population, business: Business, rng: np.random.Generator) -> np.ndarray:
    """Draws each customer's arm in each round: an action's position, len(actions) for the control, -1 for neither."""
    settings = business.settings
    begins = np.arange(0, business.days + HORIZON, settings.contact_every)
    shape = len(population.birth), len(begins)
    takes_part = (
        (rng.random(shape) < settings.contact_share) & (population.birth[:, None] < begins) & (begins < business.days)
    )
    bounds = np.cumsum([a.propensity for a in settings.actions])
    return np.where(takes_part, np.searchsorted(bounds, rng.random(shape), side="right"), -1)


def _contact_rows(arms: np.ndarray, ids: pa.Array, business: Business) -> pa.Table:
    """One row of contacts for each customer and round with a contact or control."""
    who, stretch = np.nonzero(arms >= 0)
    arm, actions = pa.array(arms[who, stretch]), business.settings.actions
    propensities = [a.propensity for a in actions]
    return pa.table(
        {
            "customer_id": ids.take(pa.array(who)),
            "time": business.times(stretch * float(business.settings.contact_every)),
            "action": pa.array([*(a.name for a in actions), CONTROL]).take(arm),
            "cost": pa.array([*(a.cost for a in actions), 0.0]).take(arm),
            "propensity": pa.array([*propensities, 1 - sum(propensities)]).take(arm),
        }
    )


def _event_lines(
    population: Population, ids: pa.Array, who: np.ndarray, moment: np.ndarray, business: Business,
    rng: np.random.Generator,
) -> pa.Table:  # fmt: skip
    """The order lines and refund lines within the period, by customer and time."""
    settings, orders = business.settings, len(who)
    money = population.mean_amount[who] * draw_lognormal(settings.order_sigma, orders, rng)
    channel = _draw_preferred(population.channel[who], settings.channels, settings, rng)
    refund = moment + settings.refund_delay * rng.standard_exponential(orders)
    refund[rng.random(orders) >= settings.refund_share] = np.inf
    order = np.repeat(np.arange(orders), 1 + rng.poisson(settings.extra_lines, orders))
    weight = rng.standard_gamma(2.0, len(order))
    share = weight / np.bincount(order, weight, minlength=orders)[order]
    amount, quantity = np.maximum(np.round(money[order] * share, 2), 0.01), 1 + rng.poisson(0.5, len(order))
    category = _draw_preferred(population.category[who[order]], settings.categories, settings, rng)
    line = np.concatenate([np.arange(len(order)), np.flatnonzero(refund[order] < business.days)])
    sign = np.where(np.arange(len(line)) < len(order), 1, -1)
    when = np.where(sign > 0, moment[order[line]], refund[order[line]])
    sort = np.lexsort((when, who[order[line]]))
    line, sign, when = line[sort], sign[sort], when[sort]
    rank = np.arange(orders) - np.searchsorted(who, who)  # a customer's orders are numbered from 0
    names = pc.binary_join_element_wise(ids.take(pa.array(who)), _text(rank), "-").take(pa.array(order[line]))
    return pa.table(
        {
            "customer_id": ids.take(pa.array(who[order[line]])),
            "time": business.times(when),
            "order_id": pc.binary_join_element_wise(names, pa.array(np.where(sign > 0, "", "-r")), ""),
            "amount": amount[line] * sign,
            "quantity": quantity[line] * sign,
            "category": category.take(pa.array(line)),
            "channel": channel.take(pa.array(order[line])),
        }
    )


def _truth_rows(population: Population, ids: pa.Array, received: np.ndarray, business: Business) -> pa.Table:
    """Each customer's true properties, and what is expected in the horizon after the end without further contacts.

    Expected value is the money of the expected orders minus all their refunds, including those after the horizon.
    """
    settings, end = business.settings, business.days
    orders = expected_orders(population, business, received, (end, end + HORIZON))
    return pa.table(
        {
            "customer_id": ids,
            "birth": business.times(population.birth),
            "lifetime_end": business.times(np.where(population.death < end, population.death + 1 / SECONDS, np.nan)),
            "rate": population.rate,
            "hazard": population.hazard,
            "mean_amount": population.mean_amount,
            "channel": pa.array(settings.channels).take(pa.array(population.channel)),
            "category": pa.array(settings.categories).take(pa.array(population.category)),
            **{f"response_{a.name}": population.response[:, i] for i, a in enumerate(settings.actions)},
            **{
                f"hazard_response_{a.name}": population.hazard_response[:, i]
                for i, a in enumerate(settings.actions)
                if a.hazards
            },
            f"expected_orders_{HORIZON}d": orders,
            f"expected_value_{HORIZON}d": orders * population.mean_amount * (1 - settings.refund_share),
        }
    )


def _draw_preferred(
    preferred: np.ndarray, names: tuple[str, ...], settings: Settings, rng: np.random.Generator
) -> pa.Array:
    """Draws names: the preferred one with probability `loyalty`, else any, all equally likely."""
    loyal, other = rng.random(len(preferred)) < settings.loyalty, rng.integers(len(names), size=len(preferred))
    return pa.array(names).take(pa.array(np.where(loyal, preferred, other)))


def _text(numbers: np.ndarray) -> pa.Array:
    return pa.array(numbers).cast(pa.string())

"""Features that look ahead, each in a way of its own, and two that do not."""

from features.own import KEYS, Family, Feature


def families(task):
    yield Family("planted", [_feature(compute.__name__) for compute in NUMBERS])
    for compute in NUMBERS:
        yield Family(compute.__name__, [], compute)
    yield Family("level", [_feature("level_ahead", "level"), _feature("level_honest", "level")], _levels)


def _feature(name, unit="count"):
    reading = "{value}" if unit == "level" else "{value:number}"
    return Feature(name, lambda m: m[f"m_{name}"], name, name.replace("_", " "), reading, unit, unread="nothing")


def _count(rows, name):
    return rows.group_by(KEYS).aggregate(**{f"m_{name}": rows.count()})


def honest(past):
    return _count(past.visible(past.tables.events), "honest")


def known_later(past):
    """Reads when a row happened, and not when it became known."""
    rows, moments = past.tables.events, past.moments
    return _count(rows.join(moments, rows.day < moments.cutoff), "known_later")


def at_the_instant(past):
    """Lets in what happens at the cutoff's very first instant."""
    rows, moments = past.tables.events, past.moments
    seen = (rows.time <= moments.cutoff.cast("timestamp")) & (rows.seen <= moments.cutoff)
    return _count(rows.join(moments, seen), "at_the_instant")


def at_the_edge(past):
    """A window that is a day too late: [cutoff - 30 days, cutoff]."""
    rows, moments = past.tables.events, past.moments
    age = moments.cutoff.delta(rows.day, unit="day")
    return _count(rows.join(moments, (age <= 30) & (age >= 0) & (rows.seen <= moments.cutoff)), "at_the_edge")


def rank_of_all_time(past):
    """A place among all customers by what they spend in the whole log."""
    rows = past.tables.events
    spent = rows.group_by("customer_id").aggregate(spent=rows.amount.sum().cast("int64"))
    rank = spent.spent.percent_rank()
    return spent.select("customer_id", m_rank_of_all_time=rank).cross_join(past.moments)


def forgets_the_cutoff(past):
    """Sees what was known at any cutoff that is built at the same time."""
    orders = past.visible_orders
    most = orders.group_by("customer_id").aggregate(m_forgets_the_cutoff=orders.day.max().epoch_seconds())
    return most.cross_join(past.moments)


def end_of_the_log(past):
    """Knows when the log ends."""
    days = (past.tables.last - past.tables.first).days
    return past.visible_orders.select(*KEYS).distinct().mutate(m_end_of_the_log=days)


def side_table(past):
    """Counts the visits of all time, of a table beside the events."""
    visits = past.tables.sides["activities.visits"].rows
    return visits.group_by("customer_id").aggregate(m_side_table=visits.minutes.max()).cross_join(past.moments)


def side_honest(past):
    visits = past.visible(past.tables.sides["activities.visits"].rows)
    return visits.group_by(KEYS).aggregate(m_side_honest=visits.minutes.max())


def _levels(past):
    rows = past.tables.events
    ever = rows.group_by("customer_id").aggregate(m_level_ahead=rows.kind_channel.max())
    seen = past.visible(rows)
    now = seen.group_by(KEYS).aggregate(m_level_honest=seen.kind_channel.max())
    return now.left_join(ever, "customer_id").drop("customer_id_right")


NUMBERS = (
    honest,
    known_later,
    at_the_instant,
    at_the_edge,
    rank_of_all_time,
    forgets_the_cutoff,
    end_of_the_log,
    side_table,
    side_honest,
)

"""One self-contained HTML page for analysts: what was predicted, how well, what drives it, whom to look at first."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from features import lifecycle
from features.config import Config
from features.errors import UsageError
from features.files import write_whole
from features.schema import Audit
from features.task import Window
from serving import charts, segments
from serving.judged import judge
from serving.score import Scores, read
from serving.scores import total as sum_of
from serving.wording import Forms, Words, share, words
from training.evaluate import Evaluation
from training.registry import evaluation_of

TEMPLATES = Path(__file__).parent / "templates"
LISTED, DRIVERS, DEPENDS = 50, 10, 0.2
WHAT = {"churn": "risk of leaving", "value": "value"}
NUMBERS = ["churn_probability", "value", "value_at_risk", "lifecycle", "tier", "segment"]


MEANING = {
    "segment": {
        "save first": "likelier to leave than to stay, tier high or middle",
        "let go": "likelier to leave than to stay, tier low",
        "keep": "likelier to stay, tier high",
        "grow": "likelier to stay, tier middle",
        "maintain": "likelier to stay, tier low",
    },
    "lifecycle": {
        "new": "first {started} within the last horizon",
        "active": "ordered lately, measured by the customer's own rhythm",
        "slipping": f"silent for over {lifecycle.ACTIVE_UP_TO:g} times the usual gap (and a quarter of the horizon)",
        "dormant": f"silent for over {lifecycle.SLIPPING_UP_TO:g} times the usual gap (and a whole horizon)",
    },
    "tier": {
        "high": f"the {segments.HIGH_SHARE:.0%} that {{bring}} most if they stay (without money: {{rank}})",
        "middle": f"the next {segments.MIDDLE_SHARE - segments.HIGH_SHARE:.0%}",
        "low": "the rest",
    },
}


def write(config: Config, cutoff: date | None = None) -> Path:
    """Writes the page of a scored cutoff, the newest where none is named; returns where.

    Raises:
        UsageError: The cutoff was not scored, the audit is broken, or the page cannot be written.
    """
    scores = read(config, cutoff)
    target = config.output / "reports" / f"cutoff={scores.cutoff}.html"
    write_whole(target, page(scores, _evaluation(config, scores), _audit(config)))
    return target


def page(scores: Scores, evaluation: Evaluation | None, audit: dict[str, Any] | None) -> str:
    """The page as text: the same scores, evaluation and audit give the same text.

    Args:
        scores: What was predicted.
        evaluation: How well the models did, or None where it is gone.
        audit: Of the data, or None where it was not made.
    """
    table = _numbers(scores)
    money = table["value"].notna().any()
    weight = table["value_at_risk" if money else "churn_probability"].to_numpy(dtype=float)
    form, when = Forms(float(table["value"].abs().mean()) if money else 0.0), _when(scores)
    listed = _listed(scores, np.argsort(-weight, kind="stable")[:LISTED], form)
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    return _template(form).render(
        manifest=scores.manifest,
        money=money,
        when=when,
        words=when["words"],
        contractual=when["contractual"],
        only_terms=bool(audit and audit.get("contracts") and audit["contracts"]["only_terms"]),
        top=_top(table, weight, listed, scores),
        spread=_spread(table["churn_probability"].to_numpy()),
        judged=judge(evaluation, form),
        drivers=[
            _driver_chart(kind, rows, form)
            for kind, rows in scores.manifest["drivers"].items()
            if rows and kind in WHAT
        ],
        groups=_groups(table, when["words"]),
        listed=listed,
        audit=audit,
        rules=segments.RULES_VERSION,
        style=Markup(style),  # noqa: S704 (our own file)
        script=Markup(script),  # noqa: S704 (our own file)
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _template(form: Forms) -> Template:
    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(money=form.money, count="{:,.0f}".format, share=share, as_value=form.of)
    return environment.get_template("report.html.j2")


def _evaluation(config: Config, scores: Scores) -> Evaluation | None:
    """None where the run is gone; the page then says that it cannot tell how good the numbers are."""
    models = scores.manifest["models"]
    try:
        return evaluation_of(config, models.get("value", models["churn"])["run_id"])
    except UsageError as problem:
        logging.getLogger(__name__).warning("the report cannot say how good the predictions are: %s", problem)
        return None


def _audit(config: Config) -> dict[str, Any] | None:
    path = config.output / "audit.json"
    if not path.exists():
        return None
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        found = {}
    if {field.name for field in fields(Audit)} - set(found):
        raise UsageError(f"{path} is not a whole audit; run `regulars check` to write it again")
    return found


def _numbers(scores: Scores) -> pd.DataFrame:
    """What the totals need of every customer; ids and reasons are read for the listed ones only."""
    parts = [pq.ParquetFile(scores.folder / part["file"]).read(NUMBERS) for part in scores.manifest["parts"]]
    return pa.concat_tables(parts).to_pandas().astype({"value": float, "value_at_risk": float})


def _listed(scores: Scores, places: np.ndarray, form: Forms) -> list[dict[str, Any]]:
    """The customers at some places of the score table, in that order, with their reasons in words."""
    found: dict[int, dict[str, Any]] = {}
    start = 0
    for part in scores.manifest["parts"]:
        inside = places[(places >= start) & (places < start + part["rows"])]
        if len(inside):
            rows = pq.ParquetFile(scores.folder / part["file"]).read().take(pa.array(inside - start)).to_pylist()
            found |= dict(zip(inside.tolist(), rows, strict=True))
        start += part["rows"]
    customers = [found[place] for place in places.tolist()]
    for row in customers:
        row["why_risk"] = _reasons(row["churn_reasons"], lambda c: f"{100 * c:+.1f} points")
        row["why_value"] = _reasons(row["value_reasons"], lambda c: form.money(c, "+"))
    return customers


def _reasons(reasons: Sequence[dict[str, Any]] | None, say: Callable[[float], str]) -> list[dict[str, Any]]:
    return [{"amount": say(r["contribution"]).replace("-", "−"), "reading": r["reading"]} for r in reasons or []]


def _when(scores: Scores) -> dict[str, Any]:
    task = scores.manifest["models"]["churn"]["task"]
    days = Window.parse(task["horizon"]).days
    active = Window.parse(task["active_within"]).days
    churn = task.get("churn", "inactive")
    return {
        "cutoff": scores.cutoff,
        "last": scores.cutoff + timedelta(days - 1),
        "days": days,
        "contractual": churn == "cancelled",
        "words": words(churn, days, active),
    }


def _top(table: pd.DataFrame, weight: np.ndarray, listed: Sequence[dict[str, Any]], scores: Scores) -> dict[str, Any]:
    """The figures on top; `half` is how many customers hold half of what is at risk."""
    running, risk = np.cumsum(np.sort(weight)[::-1]), table["churn_probability"]
    at_risk = risk >= segments.AT_RISK
    total = float(weight.sum())
    low, high = sum_of(risk.to_numpy(), table["value"].to_numpy(), table["value_at_risk"].to_numpy(), scores.spread)
    return {
        "customers": len(table),
        "at_risk": int(at_risk.sum()),
        "leaving": float(risk.sum()),
        "value": float(table["value"].sum()),
        "value_low": low,
        "value_high": high,
        "value_at_risk": float(table["value_at_risk"].sum()),
        "of_them": float(table["value_at_risk"][at_risk].sum()),
        "half": int(np.searchsorted(running, total / 2) + 1),
        "listed_share": float(running[len(listed) - 1] / total) if total else 0.0,
    }


def _spread(risk: np.ndarray) -> str:
    counts = np.bincount(np.minimum((risk * 10).astype(int), 9), minlength=10).tolist()
    steps = [(low, low + 10) for low in range(0, 100, 10)]
    told = ", ".join(f"{low} to {high}%: {count:,}" for (low, high), count in zip(steps, counts, strict=True))
    labels = [f"{low}–{high}%" for low, high in steps]
    solid = int(segments.AT_RISK * 10)
    svg = charts.columns("spread", f"Customers by risk of leaving. {told}.", labels, counts, solid, "risk of leaving")
    return Markup(svg)  # noqa: S704 (escaped where it was made)


def _driver_chart(kind: str, rows: Sequence[dict[str, Any]], form: Forms) -> dict[str, Any]:
    """The strongest driver of each family, by its phrase."""
    strongest: dict[str, dict[str, Any]] = {}
    for row in rows:
        strongest.setdefault(row["family"], row)
    chosen = list(strongest.values())[:DRIVERS]
    bars = [_bar(row, kind, form) for row in chosen]
    told = "; ".join(f"{bar.label}: {bar.note}" for bar in bars)
    svg = charts.bars(kind, f"Strongest drivers of {WHAT[kind]}, strongest first. {told}.", bars)
    return {"kind": kind, "svg": Markup(svg)}  # noqa: S704 (escaped where it was made)


def _bar(row: dict[str, Any], kind: str, form: Forms) -> charts.Bar:
    word = {"churn": "risk", "value": "value"}[kind]
    size = f"{100 * row['strength']:.1f} points" if kind == "churn" else form.money(row["strength"], fine=True)
    if "highest" in row:
        note = f"{size}, most with {_short(row['highest'])}, least {_short(row['lowest'])}"
        return charts.Bar(row["phrase"], row["strength"], note, "open")
    if not abs(row["direction"]) >= DEPENDS:
        return charts.Bar(row["phrase"], row["strength"], f"{size}, depends", "open")
    way, fill = ("higher", "solid") if row["direction"] > 0 else ("lower", "hatched")
    return charts.Bar(row["phrase"], row["strength"], f"{size}, more of it: {way} {word}", fill)


def _short(level: str) -> str:
    return level if len(level) <= 14 else f"{level[:13]}…"


def _groups(table: pd.DataFrame, said: Words) -> list[dict[str, Any]]:
    """Sizes, risk and money of every segment, lifecycle and tier; the empty ones too."""
    found = []
    for column, meaning in MEANING.items():
        made = table.groupby(column).agg(
            customers=("churn_probability", "size"),
            risk=("churn_probability", "mean"),
            value=("value", "sum"),
            value_at_risk=("value_at_risk", "sum"),
        )
        names = [*meaning, *(str(name) for name in made.index if name not in meaning)]
        figures = {name: made.loc[name].to_dict() if name in made.index else {"customers": 0} for name in names}
        told = {name: text.format(**asdict(said)) for name, text in meaning.items()}
        rows = [{"name": name, "meaning": told.get(name, ""), **figures[name]} for name in names]
        found.append({"by": column, "rows": rows})
    return found

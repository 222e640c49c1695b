"""The addresses of the web pages: each view reads the request, gets its content, and fills a template."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from features.errors import RegularsError
from features.intake.identifiers import identifier_text
from features.task import Window
from serving.charts.svg import STATIC
from serving.language.formats import churn_terms
from serving.scoring.score_notes import notes_on_scores
from serving.web import downloads
from serving.web.accounts.roles import may_open, record_download, visitor
from serving.web.accounts.sign_in import SIGN_IN, SIGN_OUT, AccountDoor, Accounts, SignIn
from serving.web.parts.output_reader import (
    MissingOutput,
    ScoredCutoff,
    Site,
    has_value,
    number_format,
    read_scored_cutoff,
    scored_cutoffs,
    unfinished_cutoffs,
)
from serving.web.security import AccessGuard, Door
from serving.web.template_environment import TEMPLATES, template_environment
from serving.web.views import (
    customer,
    customer_filter,
    customers,
    experiments,
    monitoring,
    over_time,
    overview,
    plan,
    plan_list,
    segments,
)
from serving.web.views.customers import PAGE

View = Callable[[Site, Request], Response]


@dataclass(frozen=True)
class PageContext:
    """What the templates of a cutoff's pages share.

    Attributes:
        at: The scored cutoff.
        form: How money is written.
        money: Whether the scores have a value.
        days: The length of the horizon.
        words: The terms for leaving and staying.
        interval: The probability of the prediction intervals.
    """

    at: ScoredCutoff
    form: Any
    money: bool
    days: int
    words: Any
    interval: float


def create_application(
    site: Site, hosts: Collection[str], wide: bool = False, door: Door | None = None, accounts: Accounts | None = None
) -> Starlette:
    """Create the web application behind its access guard.

    Args:
        site: The output folder that the pages show.
        hosts: Host names by which the pages may be opened.
        wide: Whether they are open to other machines.
        door: What lets visitors in; None: everybody may.
        accounts: The users who may sign in; they take the place of the door.

    Returns:
        The application.
    """
    views: dict[str, View] = {
        "/": _overview, "/segments": _segments, "/customers": _customers, "/customers.csv": _csv,
        "/customers.xlsx": _xlsx, "/customer": _customer, "/customer/reasons": _reasons, "/customer/history": _history,
        "/customer/what-if": _what_if, "/plan": _plan, "/plan/at": _plan_at, "/plan.csv": _plan_csv,
        "/plan.xlsx": _plan_xlsx, "/plan/campaign.csv": _campaign_file, "/experiments": _experiments,
        "/monitoring": _monitoring, "/models": _models, "/models/test": _model_test, "/newest": _newest,
    }  # fmt: skip
    answer = partial(_answer, site, accounts)
    routes: list[Any] = [Route(path, partial(answer, view), name=path) for path, view in views.items()]
    if accounts:
        signing, door = SignIn(accounts, site.tr, partial(_form_page, site)), AccountDoor(accounts, site.tr)
        routes.append(Route(SIGN_IN, signing.sign_in, methods=["GET", "POST"]))
        routes.append(Route(SIGN_OUT, signing.sign_out, methods=["POST"]))
    routes.append(Mount("/static/charts", StaticFiles(directory=STATIC)))
    routes.append(Mount("/static", StaticFiles(directory=TEMPLATES / "static")))
    broken = {HTTPException: partial(_no_page, site), Exception: partial(_broken, site)}
    guard = Middleware(AccessGuard, hosts=hosts, wide=wide, door=door, tr=site.tr)
    return Starlette(routes=routes, middleware=[guard], exception_handlers=broken)


def _answer(site: Site, accounts: Accounts | None, view: View, request: Request) -> Response:
    """Answer with a view, or with the page that says what is missing for it; with accounts, downloads are logged."""
    allowed = may_open(request)
    try:
        record_download(accounts, request, allowed)
        if not allowed:
            message = site.tr("Your account shows groups of customers, not single customers or lists of them.")
            raise MissingOutput(message, status=403)
        return view(site, request)
    except MissingOutput as missing:
        return _missing(site, request, missing)
    except RegularsError as problem:
        message = site.tr("This cannot be computed right now: {why}", why=str(problem))
        return _missing(site, request, MissingOutput(message, status=503))


def _missing(site: Site, request: Request, missing: MissingOutput) -> Response:
    name = "missing_part.html.j2" if request.headers.get("x-part") else "missing.html.j2"
    unfinished_runs = unfinished_cutoffs(site) if missing.command.startswith("regulars score") else []
    answer = _page(site, request, name, missing.status, missing=missing, unfinished=unfinished_runs)
    if missing.retry_after:
        answer.headers["Retry-After"] = str(missing.retry_after)
    return answer


def _no_page(site: Site, request: Request, problem: Exception) -> Response:
    status = problem.status_code if isinstance(problem, HTTPException) else 404
    return _missing(site, request, MissingOutput(site.tr("There is no such page."), status=status))


def _broken(site: Site, request: Request, problem: Exception) -> Response:
    """Answer an unexpected error; the terminal has the details."""
    return _missing(
        site, request, MissingOutput(site.tr("This page failed. See the terminal for details."), status=500)
    )


def _form_page(site: Site, status: int, /, **content: Any) -> Response:
    """The page with the form to sign in; it shows nothing of the business but its name."""
    env = site.cache.get("templates", lambda: template_environment(site))
    return HTMLResponse(env.get_template("sign_in.html.j2").render(**content), status)


def _page(site: Site, request: Request, template: str, status: int = 200, /, **content: Any) -> Response:
    env = site.cache.get("templates", lambda: template_environment(site))
    at = content["context"].at if "context" in content else None
    scored_days = scored_cutoffs(site)
    shared = {
        "path": request.url.path,
        "visitor": visitor(request),
        "params": {name: ",".join(request.query_params.getlist(name)) for name in request.query_params},
        "cutoffs": scored_days,
        "cutoff": at.cutoff if at else None,
        "notes": notes_on_scores(site.config.task.timezone, at.manifest, at.cutoff, site.tr) if at else [],
        "pinned": str(at.cutoff) if at and scored_days and at.cutoff != scored_days[-1] else "",
    }
    return HTMLResponse(env.get_template(template).render(**shared, **content), status)


def _context(site: Site, request: Request) -> PageContext:
    at = read_scored_cutoff(site, request.query_params.get("cutoff", ""))
    models: Mapping[str, Mapping[str, Any]] = at.manifest.models
    task: Mapping[str, Any] = models.get("churn", {}).get("task", {})
    given = site.config.task
    days = Window.parse(str(task.get("horizon", given.horizon))).days
    active = Window.parse(str(task.get("active_within", given.active_within))).days
    terms = churn_terms(str(task.get("churn", given.churn)), days, active, site.tr)
    return PageContext(at, number_format(site, at), has_value(site, at), days, terms, at.manifest.interval)


def _overview(site: Site, request: Request) -> Response:
    context = _context(site, request)
    figures = overview.overview_page(site, context.at)
    notices: dict[str, Any] = {"alerts": monitoring.newest_alerts(site), "unfinished": unfinished_cutoffs(site)}
    history = over_time.history_charts(site, context.at)
    following = plan.next_plan(site, context.at)
    notices |= {"changes": overview.changes_since(site, context.at), "graded": overview.grade_of(site, context.at)}
    return _page(
        site, request, "overview.html.j2", context=context, history=history, following=following, **figures, **notices
    )


def _newest(site: Site, request: Request) -> Response:
    """The newest scored cutoff as text; an open page asks for it to say that there are newer scores."""
    return PlainTextResponse("".join(map(str, scored_cutoffs(site)[-1:])))


def _segments(site: Site, request: Request) -> Response:
    context = _context(site, request)
    content = segments.segments_page(site, request.query_params, context.at.cutoff)
    return _page(site, request, "segments.html.j2", context=context, **content)


def _customers(site: Site, request: Request) -> Response:
    context = _context(site, request)
    filters, errors = customer_filter.read_filter(request.query_params, context.money, site.tr)
    content = {
        "context": context, "want": filters, "errors": errors, "each": PAGE, "excel_rows": downloads.EXCEL_ROWS,
        "choices": customers.filter_choices(site, context.at), "rows": [], "totals": {"customers": 0},
        "possible": customer_filter.possible_columns(site, context.at, context.money),
        "shown": customer_filter.shown_columns(site, context.at, filters, context.money),
    }  # fmt: skip
    if errors:  # the form stays as it was sent, and says which field to correct
        return _page(site, request, "customers.html.j2", 400, **content)
    content["totals"] = customers.list_totals(site, context.at, filters)
    content["rows"] = customers.list_page(site, context.at, filters, context.money)
    return _page(site, request, "customers.html.j2", **content)


def _csv(site: Site, request: Request) -> Response:
    return downloads.csv_response(site, _listed(site, request))


def _xlsx(site: Site, request: Request) -> Response:
    return downloads.workbook_response(site, request.method, _listed(site, request))


def _listed(site: Site, request: Request) -> downloads.Listing:
    context = _context(site, request)
    filters = customer_filter.parse_filter(site, request.query_params, context.money)
    return downloads.customers_listing(site, context.at, filters, context.money)


def _who(site: Site, request: Request, at: ScoredCutoff) -> str:
    customer_id = identifier_text(request.query_params.get("id", ""))
    if customer_id is None:
        raise MissingOutput(site.tr("No customer is named; open one from the list."), status=400)
    return customers.scored_name(site, at, customer_id)


def _customer(site: Site, request: Request) -> Response:
    context = _context(site, request)
    who = _who(site, request, context.at)
    return _page(site, request, "customer.html.j2", context=context, **customer.customer_page(site, context.at, who))


def _reasons(site: Site, request: Request) -> Response:
    context = _context(site, request)
    who = _who(site, request, context.at)
    return _page(
        site, request, "reasons.html.j2", context=context, waterfalls=customer.full_waterfalls(site, context.at, who)
    )


def _history(site: Site, request: Request) -> Response:
    from serving.web import live_queries  # imports MLflow, which takes seconds

    context = _context(site, request)
    who = _who(site, request, context.at)
    return _page(
        site, request, "history.html.j2", context=context, **live_queries.customer_history(site, context.at, who)
    )


def _what_if(site: Site, request: Request) -> Response:
    from serving.web import live_queries as asking

    context = _context(site, request)
    who = _who(site, request, context.at)
    below = _level(site, request.query_params.get("below", ""))
    answer = asking.find_counterfactual(site, context.at, who, below)
    return _page(site, request, "what_if.html.j2", context=context, **answer)


def _level(site: Site, text: str) -> float | None:
    """Parse a risk in per cent as a probability; None if the text is empty."""
    if not text.strip():
        return None
    try:
        level = float(text) / 100
    except ValueError:
        level = 0.0
    if not 0 < level < 1:
        raise MissingOutput(site.tr("Expected a risk between 0 and 100%, found {text}.", text=text[:40]), status=400)
    return level


def _planned(site: Site, request: Request) -> dict[str, Any]:
    stored_plan = plan.read_stored_plan(site, request.query_params.get("plan", ""))
    at_budget = plan.at_budget(stored_plan, plan.parse_budget(site, stored_plan, request.query_params))
    filters = plan_list.read_plan_filter(site, request.query_params)
    listed = plan_list.count_listed(site, stored_plan, at_budget, filters)
    pages = max(-(-listed // plan.PAGE), 1)
    text = request.query_params.get("page", "1")
    page = min(max(int(text), 1), pages) if text.isdecimal() and len(text) < 9 else 1
    rows = plan_list.plan_customers(site, stored_plan, at_budget, filters, page)
    return {
        "plan": stored_plan,
        "planned": at_budget,
        "rows": rows,
        "page": page,
        "pages": pages,
        "form": stored_plan.number_format,
        "want": filters,
        "listed": listed,
        "plan_segments": plan_list.plan_segments(site, stored_plan),
    }


def _plan(site: Site, request: Request) -> Response:
    planned = _planned(site, request)
    picture = plan.gain_chart(site, planned["plan"], planned["planned"])
    listed = {"plans": plan.plan_names(site), "superseded": plan.superseded_plans(site)}
    sentences = plan.plan_sentences(site, planned["plan"])
    return _page(site, request, "plan.html.j2", picture=picture, **sentences, **listed, **planned)


def _plan_at(site: Site, request: Request) -> Response:
    return _page(site, request, "plan_at.html.j2", **_planned(site, request))


def _plan_csv(site: Site, request: Request) -> Response:
    return downloads.csv_response(site, _plan_listing(site, request))


def _plan_xlsx(site: Site, request: Request) -> Response:
    return downloads.workbook_response(site, request.method, _plan_listing(site, request))


def _plan_listing(site: Site, request: Request) -> downloads.Listing:
    """The customers of a plan at a budget, or with `list=holdout` those whom it holds out."""
    stored_plan = plan.read_stored_plan(site, request.query_params.get("plan", ""))
    if request.query_params.get("list", "") == "holdout":
        return downloads.holdout_listing(stored_plan)
    budget = plan.parse_budget(site, stored_plan, request.query_params)
    filters, at_budget = plan_list.read_plan_filter(site, request.query_params), plan.at_budget(stored_plan, budget)
    listed = plan_list.count_listed(site, stored_plan, at_budget, filters)
    return downloads.planned_listing(stored_plan, at_budget, filters, listed)


def _campaign_file(site: Site, request: Request) -> Response:
    """The plan's file for the campaign tool, as `regulars plan` wrote it."""
    stored_plan = plan.read_stored_plan(site, request.query_params.get("plan", ""))
    file = stored_plan.folder / plan.CAMPAIGN_FILE
    if not file.is_file():
        raise MissingOutput(site.tr("The plan {name} has no file for the campaign tool.", name=stored_plan.name))
    name = f"campaign-{stored_plan.name.replace('/', '-')}.csv"
    return FileResponse(file, media_type="text/csv; charset=utf-8", headers=downloads.saved_as(name))


def _experiments(site: Site, request: Request) -> Response:
    results, listed = experiments.experiment_results(site), experiments.campaigns_page(site)
    superseded = plan.superseded_plans(site)
    return _page(site, request, "experiments.html.j2", experiments=results, superseded=superseded, campaigns=listed)


def _monitoring(site: Site, request: Request) -> Response:
    runs = monitoring.nightly_runs(site)
    try:
        content = monitoring.monitoring_page(site, request.query_params.get("cutoff", ""))
    except MissingOutput:
        if not runs or request.query_params.get("cutoff"):
            raise
        content = None
    return _page(site, request, "monitoring.html.j2", findings=content, runs=runs)


def _models(site: Site, request: Request) -> Response:
    context = _context(site, request) if scored_cutoffs(site) else None
    content = monitoring.models_page(site, context.at if context else None)
    tested = context.at.cutoff if context and "churn" in context.at.manifest.models else None
    return _page(site, request, "models.html.j2", tested=tested, **content)


def _model_test(site: Site, request: Request) -> Response:
    from serving.web import live_queries  # imports MLflow, which takes seconds

    context = _context(site, request)
    test = live_queries.model_test(site, context.at)
    return _page(site, request, "model_test.html.j2", context=context, test=test)

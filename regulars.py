"""The command line of Regulars: each command is a few lines that call one function of a room."""

from __future__ import annotations

import serving.quiet_start  # noqa: F401 (first: Ctrl-C while the others load is one line, too)

# isort: split
import shlex
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import click

from features.config.load import load_config
from features.errors import RefusedError, printable
from features.storage.json_files import json_line
from serving.command_line import (
    DEFAULT_CONFIG,
    EXIT_CODES,
    SECTIONS,
    CommandGroup,
    DayType,
    close_change,
    close_command,
    run_program,
)
from serving.command_output import show
from serving.web.accounts.command import users

DAY = DayType()
MODELS = click.Choice(["all", "churn", "value", "uplift", "winback"])


@click.group(cls=CommandGroup, sections=SECTIONS, commands=[users], epilog=EXIT_CODES)
@click.option("-c", "--config", "path", default=DEFAULT_CONFIG, show_default=True, help="The config file.")
@click.version_option(package_name="regulars")
@click.pass_context
def cli(ctx: click.Context, path: str) -> None:
    """Keep your customers: who is about to leave, what each is worth, and why."""
    ctx.obj = path


@cli.command(epilog="Example: regulars demo --quick")
@click.option("--out", default="regulars-demo", show_default=True, help="The folder to create.")
@click.option("--trials", default=12, show_default=True, help="Tuning trials for each model.")
@click.option("--quick", is_flag=True, help="A tenth of the households and two trials, for a first look.")
def demo(out: str, trials: int, quick: bool) -> None:
    """Run the whole loop on The Complete Journey, real grocery purchases."""
    from serving.demo import run_demo

    page, command = run_demo(Path(out), trials=trials, quick=quick, report_line=show)
    close_command(f"{page}: open it in a browser", command, str(Path(out) / DEFAULT_CONFIG))


@cli.command(epilog="Example: regulars init data/orders.csv")
@click.argument("source", metavar="FILE")
@click.option("--table", default="", help="For the URL of a database: the table of the log; by default its only one.")
@click.pass_obj
def init(path: str, source: str, table: str) -> None:
    """Write a commented config guessed from the columns of FILE: a file, a folder, or the URL of a database."""
    from features.config_guess import write_guessed_config
    from serving.language.messages import get_language

    guess = write_guessed_config(source, Path(path), table, get_language)
    click.echo("".join(f"NOTE: {printable(note)}\n" for note in guess.notes), nl=False, err=True)
    then = "answer its questions" if guess.complete else "fill it in"
    close_command(f"{path}: read it and {then}", "regulars check", path)


@cli.command(epilog="Example: regulars check --leaks")
@click.option("--leaks", is_flag=True, help="Also prove that no feature uses the future: change it and compare.")
@click.option("--second-orders", is_flag=True, help="Also say how many first-time buyers order again, and which.")
@click.pass_obj
def check(path: str, leaks: bool, second_orders: bool) -> None:
    """Audit the data: what it contains, which rows are set aside and why, what must be fixed."""
    from features.audit import audit
    from serving.further_checks import further_checks

    config = load_config(path)
    report, target = audit.check_log(config)
    show(audit.audit_text(report), target)
    if report.breaches:
        click.echo(f"\nwritten: {target}", err=True)
        raise RefusedError(f"{len(report.breaches)} breach(es) of the data contract, see above")
    for text in further_checks(config, leaks, second_orders):
        show(f"\n{text}")
    close_command(str(target), "regulars train", path)


@cli.command(epilog="Example: regulars build --cutoff 2024-06-01 --out features.parquet")
@click.option("--cutoff", "cutoffs", type=DAY, multiple=True, required=True, help="May be given several times.")
@click.option("--out", required=True, help="A Parquet file: customer_id, cutoff, features, churned, value.")
@click.pass_obj
def build(path: str, cutoffs: tuple[date, ...], out: str) -> None:
    """Write features, and labels where they are mature, for the cohorts at given cutoffs."""
    from features.snapshots.build import write_snapshots

    rows, columns, reused = write_snapshots(load_config(path), list(cutoffs), Path(out))
    unchanged = f"; {reused} of {len(set(cutoffs))} cutoffs unchanged since an earlier build" if reused else ""
    close_command(f"{out}: {rows:,} rows, {columns} columns{unchanged}", "regulars train", path)


@cli.command(epilog="Example: regulars train --compare")
@click.argument("which", type=MODELS, default="all")
@click.option("--compare", is_flag=True, help="Also print champion against challenger, and the result of each gate.")
@click.option("--log", "kept", metavar="FOLDER", help="Log a training that was kept because MLflow did not answer.")
@click.option("--resume", is_flag=True, help="Resume an interrupted tuning on the same data.")
@click.option("--quick", is_flag=True, help="A look in about a tenth of the time: few rows, no tuning; marked as such.")
@click.pass_obj
def train(path: str, which: str, compare: bool, kept: str | None, resume: bool, quick: bool) -> None:
    """Tune, calibrate, evaluate and register the churn and value models; promote those that pass the gates.

    `uplift` instead trains the model of what each action of [contacts] changes, and for whom.
    """
    from training import train as room
    from training.evaluation.grade import evaluation_figures
    from training.registry import promotion_gates

    if which == "uplift":
        return _train_uplift(path)
    if kept:
        settled = room.log_kept_training(load_config(path), Path(kept))
    else:
        say = partial(click.echo, err=True)
        settled = trained = room.train_models(load_config(path), which, resume=resume, quick=quick, report_line=say)
        show(room.training_run_text(trained), evaluation_figures(trained.fitted.evaluation))
    if compare:
        show(f"\n{promotion_gates.gates_text(settled.decision)}")
    if settled.decision.note:
        show(f"\nNOTE: {settled.decision.note}", {"note": settled.decision.note})
    refused = "regulars promote" if compare else "regulars train --compare"
    then = f"regulars score --cutoff {settled.newest}" if settled.champions else refused
    close_command(room.training_outcome(settled), then, path)
    if not settled.champions:
        raise RefusedError(room.training_refusal(settled))


def _train_uplift(path: str) -> None:
    """Trains the uplift model and prints the result."""
    from training.uplift import train as room

    trained = room.train_uplift(load_config(path))
    show(room.uplift_text(trained))
    then = f"regulars uplift --cutoff {trained.newest}" if trained.promoted else "regulars promote uplift"
    close_command(room.uplift_outcome(trained), then, path)
    if not trained.promoted:
        raise RefusedError(room.uplift_refusal(trained))


@cli.command("promote", epilog="Example: regulars promote churn")
@click.argument("which", type=MODELS, default="all")
@click.pass_obj
def promote_by_hand(path: str, which: str) -> None:
    """Make the challengers champions by hand, whatever the gates said."""
    from training.registry.aliases import promote_challengers

    close_change(promote_challengers(load_config(path), which), path)


@cli.command(epilog="Example: regulars rollback")
@click.argument("which", type=MODELS, default="all")
@click.pass_obj
def rollback(path: str, which: str) -> None:
    """Make the previous champions champions again; repeat it to go further back."""
    from training.registry.aliases import roll_back_champions as run

    close_change(run(load_config(path), which), path)


@cli.command(epilog="Example: regulars backtest --cutoffs 6")
@click.option("--cutoffs", type=click.IntRange(min=1), default=12, show_default=True, help="How many past cutoffs.")
@click.option("--learning-curve", is_flag=True, help="Instead, train for the last cutoff on more and more customers.")
@click.pass_obj
def backtest(path: str, cutoffs: int, learning_curve: bool) -> None:
    """Evaluate the models at past cutoffs against simpler baselines."""
    from training.backtesting import backtest as backtests
    from training.backtesting import learning_curve as curves

    config = load_config(path)
    if learning_curve:
        curve = curves.measure_learning_curve(config)
        text, folder, run_id = curves.learning_curve_text(curve), curve.folder, curve.run_id
    else:
        result = backtests.backtest_models(config, cutoffs)
        text, folder, run_id = backtests.backtest_text(result), result.folder, result.run_id
    show(text, {"folder": str(folder), "run_id": run_id})
    close_command(f"{folder}; MLflow run {run_id}", "regulars train", path)


@cli.command(epilog="Example: regulars score --cutoff 2024-06-01")
@click.option("--cutoff", type=DAY, required=True, help="Score the cohort as known before this day.")
@click.option("--contributions", is_flag=True, help="Also write every feature's contribution.")
@click.option("--resume", is_flag=True, help="Resume an interrupted run of the same scoring.")
@click.pass_obj
def score(path: str, cutoff: date, contributions: bool, resume: bool) -> None:
    """Score every customer of a cutoff's cohort, with reasons; skipped if nothing has changed."""
    from serving.scoring.lifetime_totals import lifetime_lines
    from serving.scoring.run import score_customers as run
    from serving.scoring.value_tiers import NO_SKILL

    scores = run(load_config(path), cutoff, contributions, resume)
    lines = [*([] if scores.manifest.skill else [NO_SKILL]), *scores.notes, *lifetime_lines(scores.manifest)]
    show("\n".join(lines), scores.manifest.to_dict(), nl=bool(lines))
    written = f"{scores.folder}: {scores.manifest.customers:,} customers"
    close_command(written, f"regulars report --cutoff {cutoff}", path, "written" if scores.new else "scored")


@cli.command(epilog="Example: regulars segments --cutoff 2024-06-01")
@click.option("--cutoff", type=DAY, help="A scored cutoff; by default the newest.")
@click.pass_obj
def segments(path: str, cutoff: date | None) -> None:
    """Segment the customers of a scored cutoff: RFM, lifecycle, tiers, micro-segments, and what they buy together."""
    from serving.segmentation.run import segment_customers
    from serving.segmentation.text import segments_text

    result = segment_customers(load_config(path), cutoff)
    show(segments_text(result), result.manifest.to_dict())
    close_command(str(result.folder), f"regulars report --cutoff {result.manifest.cutoff}", path)


@cli.command(epilog="Example: regulars uplift --cutoff 2024-06-01")
@click.option("--cutoff", type=DAY, required=True, help="For the cohort as known before this day.")
@click.pass_obj
def uplift(path: str, cutoff: date) -> None:
    """Estimate the effect of each action on every customer of a cutoff's cohort."""
    from serving.effects import uplift_scores

    scores = uplift_scores.write_uplift_scores(load_config(path), cutoff)
    written = f"{scores.file}: {uplift_scores.uplift_scores_text(scores)}"
    close_command(written, f"regulars plan --cutoff {cutoff} --budget B", path)


@cli.command(epilog="Example: regulars explain C-1042 --cutoff 2024-06-01")
@click.argument("customer")
@click.option("--cutoff", type=DAY, required=True, help="The customer as known before this day.")
@click.option("--below", type=float, help="What-if: a risk to get below; by default the cohort's mean.")
@click.option("--no-what-if", "short", is_flag=True, help="Leave out the what-if changes.")
@click.pass_obj
def explain(path: str, customer: str, cutoff: date, below: float | None, short: bool) -> None:
    """Show one customer's scores, the reasons for them, and what-if changes that lower the risk."""
    from serving.customer_report import explain_customer

    text = explain_customer(load_config(path), customer, cutoff, below, not short)
    show(text, {"customer": customer, "cutoff": str(cutoff), "lines": text.splitlines()})


@cli.command(epilog="Example: regulars plan --cutoff 2024-06-01 --budget 5000")
@click.option("--cutoff", type=DAY, required=True, help="A scored cutoff.")
@click.option("--budget", type=float, help="Most money to spend; by default the config's.")
@click.option("--campaign", help="Name of the plan, which takes the place of other plans of the cutoff.")
@click.option("--only", multiple=True, help="Plan for this segment, tier or stage only; may be given several times.")
@click.option("--share", is_flag=True, help="Move money between the live campaigns of the cutoff, by one price.")
@click.option("--test", metavar="ARMS", help="An experiment: 'mail vs call', 'mail vs nothing', 'channel x depth'.")
@click.option("--detect", type=float, help="Difference in the return rate to detect by --test, such as 0.05.")
@click.pass_obj
def plan(path: str, cutoff: date, share: bool, **options: Any) -> None:
    """Choose one action or none for each customer within a budget, with a randomised holdout; or test actions."""
    from serving.campaigns.sharing import share_money, shared_plans_text
    from serving.planning import make_plan, plan_text

    if share:
        return show(shared_plans_text(share_money(load_config(path), cutoff, options["budget"])))
    result = make_plan(load_config(path), cutoff, **options)
    show(plan_text(result), result.manifest.to_dict())
    close_command(f"{result.folder}: plan.csv is for the campaign tool", f"regulars report --cutoff {cutoff}", path)


@cli.command(epilog="Example: regulars measure 2024-06-01")
@click.argument("plan")
@click.option("--other-log", is_flag=True, help="Accept a log whose past differs from the one that the plan used.")
@click.pass_obj
def measure(path: str, plan: str, other_log: bool) -> None:
    """Measure the effect of PLAN: a plan's folder, or CUTOFF/CAMPAIGN, or CUTOFF for its live plan."""
    from serving.measurement.measure import measure_plan, refuse_sample_ratio_mismatch
    from serving.measurement.text import measurement_text

    measured = measure_plan(load_config(path), plan, other_log)
    show(measurement_text(measured), measured.facts)
    then = "regulars train uplift" if measured.facts["mature"] else f"regulars measure {shlex.quote(plan)}"
    close_command(f"{measured.plan.folder}: measured.json, measured.parquet", then, path)
    refuse_sample_ratio_mismatch(measured)


@cli.command(epilog="Example: regulars campaigns --csv")
@click.option("--json", "form", flag_value="json", help="Print one JSON object instead of text.")
@click.option("--csv", "form", flag_value="csv", help="Print one line a campaign as CSV instead of text.")
@click.pass_obj
def campaigns(path: str, form: str | None) -> None:
    """List all campaigns: what each promised and brought, what is believed of each action, what to try next."""
    from serving.campaigns import text

    (click.echo if form else show)(text.formatted_campaigns(load_config(path), form), nl=False)


@cli.command(epilog="Example: regulars monitor")
@click.option("--cutoff", type=DAY, help="A scored cutoff; by default the newest.")
@click.pass_obj
def monitor(path: str, cutoff: date | None) -> None:
    """Check a scored cutoff for data, drift and performance problems; exit 1 while any alert is open.

    New alerts go to stdout, one JSON object a line, and wherever [monitor] delivers them; the summary goes to stderr.
    """
    from serving.monitoring.monitor import monitor_scores as run
    from serving.monitoring.text import monitoring_text

    result = run(load_config(path), cutoff)
    for alert in result.new:
        show(json_line(alert.to_dict()))
    show("", result.facts, nl=False)
    click.echo(monitoring_text(result), err=True)
    click.echo(f"\nwritten: {result.folder / 'monitor.json'}", err=True)
    for problem in result.undelivered:
        click.echo(f"NOT DELIVERED: {problem}", err=True)
    if result.alerts:
        raise RefusedError(f"{len(result.alerts)} alert(s) open, {len(result.new)} of them new")


@cli.command(epilog="Example: regulars report")
@click.option("--cutoff", type=DAY, help="A scored cutoff; by default the newest.")
@click.pass_obj
def report(path: str, cutoff: date | None) -> None:
    """Write the report for analysts, one HTML page."""
    from serving.report.page import write_report

    target = write_report(load_config(path), cutoff)
    close_command(f"{target}: open it in a browser", "regulars explain CUSTOMER --cutoff D", path)


@cli.command("run", epilog="Example: regulars run --quiet")
@click.option("--cutoff", type=DAY, help="By default the day after the last complete day in the log.")
@click.option("--accept", is_flag=True, help="Accept a log that looks cut off, late or delivered twice.")
@click.option("--quiet", is_flag=True, help="Print nothing if all is well.")
@click.pass_obj
def run_night(path: str, cutoff: date | None, accept: bool, quiet: bool) -> None:
    """Run the nightly chain: check, score, segments, plan and training when due, monitor, report."""
    from serving.nightly import chain

    lines: list[str] = []
    summary = chain.run_night(load_config(path), cutoff, accept, lines.append if quiet else show)
    if not quiet or summary.code:
        show("\n".join([*lines, chain.night_text(summary)]), summary.file)
        close_command(str(summary.file), chain.next_command(summary), path, "summary")
    click.get_current_context().exit(summary.code)


@cli.command(epilog="Example: regulars app --port 8080")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; a wider one needs https.")
@click.option("--port", type=click.IntRange(0, 65535), default=8501, show_default=True, help="0 chooses a free port.")
@click.option("--allow-host", "also", multiple=True, metavar="NAME", help="Another host name, such as a proxy's.")
@click.pass_obj
def app(path: str, host: str, port: int, also: tuple[str, ...]) -> None:
    """Show the output folder as read-only web pages on this machine."""
    from serving.web.app import serve

    serve(load_config(path), host, port, also, click.echo)


@cli.command(epilog="Example: regulars forget C-1042 --yes")
@click.argument("customer")
@click.option("--yes", is_flag=True, help="Do it; without this option, only show what would be done.")
@click.pass_obj
def forget(path: str, customer: str, yes: bool) -> None:
    """Remove CUSTOMER from every output, and list the models that were trained on them."""
    from serving.privacy.forget import forget_customer
    from serving.privacy.text import forget_text, require_complete

    show(forget_text(result := forget_customer(load_config(path), customer, yes)), {"done": yes})
    if yes:
        close_command(f"{len(result.places):,} files changed or removed", "regulars report", path, "done")
    require_complete(result)


@cli.command(epilog="Example: regulars simulate --customers 5000 --out simulated")
@click.option("--customers", type=int, required=True, help="Number of customers.")
@click.option("--out", required=True, help="A new or empty folder.")
@click.option("--days", default=730, show_default=True, help="Length of the log in days.")
@click.option("--start", type=DAY, default="2023-01-01", show_default=True, help="First day of the log.")
@click.option("--seed", default=7, show_default=True, help="Seed of all random numbers.")
@click.option("--kind", default="shop", show_default=True, help="shop, groceries, subscription, app or b2b.")
def simulate(customers: int, out: str, **options: Any) -> None:
    """Write a simulated business, with the truth behind it in a folder of its own."""
    from features.simulation.simulate import simulate_business

    business = simulate_business(Path(out), customers, **options)
    counts = f"{business.events:,} events and {business.contacts:,} contacts of {business.customers:,} customers"
    close_command(f"{business.folder}: {counts}", "regulars check", str(business.config))


def main() -> None:
    """Runs the command line."""
    run_program(cli)


if __name__ == "__main__":
    main()

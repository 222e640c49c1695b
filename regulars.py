"""The front door: every command of Regulars, each a few lines that call one function of a room."""

from __future__ import annotations

import json
import os
import shlex
import sys
import warnings
from datetime import date, datetime
from pathlib import Path
from shutil import which
from typing import Any

import click

from features.config.load import load_config
from features.errors import RefusedError, RegularsError, UsageError


class _Commands(click.Group):
    """Commands in the order of the loop; errors as one message and the exit code of the contract."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RegularsError as problem:
            click.echo(f"regulars: {problem}", err=True)
            ctx.exit(problem.exit_code)


class _Day(click.ParamType):
    """A cutoff: a date, which stands for its first instant in UTC."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return datetime.strptime(value, "%Y-%m-%d").date()  # noqa: DTZ007 (a calendar day, in UTC by contract)
        except ValueError:
            self.fail(f"expected a day such as 2024-01-31, found {value!r}", param, ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-c", "--config", "path", default="regulars.toml", show_default=True, help="The config file.")
@click.version_option(package_name="regulars")
@click.pass_context
def cli(ctx: click.Context, path: str) -> None:
    """Keep your customers: who is about to leave, what each is worth, and why."""
    ctx.obj = path
    _settle()


@cli.command()
@click.option("--out", default="regulars-demo", show_default=True, help="The folder to make.")
@click.option("--trials", default=12, show_default=True, help="Tuning trials for each model.")
@click.option("--quick", is_flag=True, help="A tenth of the households and two trials: a look in half a minute.")
def demo(out: str, trials: int, quick: bool) -> None:
    """Run the whole loop on The Complete Journey, real grocery purchases."""
    from serving.demo import run_demo

    page, then = run_demo(Path(out), trials=trials, quick=quick, say=click.echo)
    _closing(f"{page}: open it in a browser", then, str(Path(out) / "regulars.toml"))


@cli.command()
@click.argument("file")
@click.pass_obj
def init(path: str, file: str) -> None:
    """Write a commented config guessed from the columns of FILE."""
    from features.intake.guess_config import guess_config_text
    from features.sources.source import refuse_url

    refuse_url(file)
    target = Path(path)
    if target.exists():
        raise UsageError(
            f"{target} is already there; remove it, or name another with `regulars -c OTHER.toml init {file}`"
        )
    target.write_text(guess_config_text(file, target.resolve().parent), encoding="utf-8")
    _closing(f"{target}: read it, answer its questions", "regulars check", path)


@cli.command()
@click.option("--leaks", is_flag=True, help="Also prove that no feature looks ahead: change the future and compare.")
@click.pass_obj
def check(path: str, leaks: bool) -> None:
    """Audit the data: what is there, what was set aside and why, what must be mended."""
    from features.audit import audit

    config = load_config(path)
    report, target = audit.check_log(config)
    click.echo(audit.audit_text(report))
    if report.breaches:
        click.echo(f"\nwritten: {target}", err=True)
        raise RefusedError(f"{len(report.breaches)} breach(es) of the data contract, see above")
    if leaks:
        from features.snapshots import leakage

        trials, proof = leakage.check_leaks(config)
        click.echo(f"\n{leakage.leaks_text(trials)}")
        if found := sorted({name for trial in trials for name, _ in trial.leaks}):
            raise RefusedError(f"{', '.join(found)} would change with the future: see above and {proof}")
    _closing(str(target), "regulars train", path)


@cli.command()
@click.option("--cutoff", "cutoffs", type=_Day(), multiple=True, required=True, help="Give it once or more.")
@click.option("--out", required=True, help="A Parquet file: customer_id, cutoff, features, churned, value.")
@click.pass_obj
def build(path: str, cutoffs: tuple[date, ...], out: str) -> None:
    """Write features, and labels where they are mature, of the cohorts at given cutoffs."""
    from features.snapshots.build import write_snapshots

    rows, columns, reused = write_snapshots(load_config(path), list(cutoffs), Path(out))
    unchanged = f"; {reused} of {len(set(cutoffs))} cutoffs unchanged since an earlier build" if reused else ""
    _closing(f"{out}: {rows:,} rows, {columns} columns{unchanged}", "regulars train", path)


@cli.command()
@click.argument("which", type=click.Choice(["all", "churn", "value", "uplift"]), default="all")
@click.option("--compare", is_flag=True, help="Also print champion against challenger, and the verdict of each gate.")
@click.option("--log", "kept", metavar="FOLDER", help="Log a training that was kept when MLflow did not answer.")
@click.option("--resume", is_flag=True, help="Go on with a tuning of the same data that was interrupted.")
@click.pass_obj
def train(path: str, which: str, compare: bool, kept: str | None, resume: bool) -> None:
    """Tune, calibrate, judge and register the churn and value models; champions where the gates let them.

    `uplift` learns what each action of [contacts] changes, and for whom, instead.
    """
    from training import train as room
    from training.registry import promotion_gates

    if which == "uplift":
        if compare or kept or resume:
            raise UsageError("--compare, --log and --resume are for churn and value; `train uplift` has no options")
        _train_uplift(path)
        return
    if kept:
        settled = room.log_kept_training(load_config(path), Path(kept))
    else:
        settled = trained = room.train_models(load_config(path), which, resume=resume)
        click.echo(room.training_text(trained.fitted))
    if compare:
        click.echo(f"\n{promotion_gates.gates_text(settled.decision)}")
    if settled.decision.note:
        click.echo(f"\nNOTE: {settled.decision.note}")
    refused = "regulars promote" if compare else "regulars train --compare"
    then = f"regulars score --cutoff {settled.newest}" if settled.decision.promoted else refused
    _closing(room.training_outcome(settled), then, path)
    if not settled.decision.promoted:
        raise RefusedError(room.training_refusal(settled))


def _train_uplift(path: str) -> None:
    """Learns the effect of actions, and says what was found."""
    from training.uplift import train as room

    trained = room.train_uplift(load_config(path))
    click.echo(room.uplift_text(trained))
    then = f"regulars uplift --cutoff {trained.newest}" if trained.promoted else "regulars promote uplift"
    _closing(room.uplift_outcome(trained), then, path)
    if not trained.promoted:
        raise RefusedError(room.uplift_refusal(trained))


@cli.command("promote")
@click.argument("which", type=click.Choice(["all", "churn", "value", "uplift"]), default="all")
@click.pass_obj
def promote_by_hand(path: str, which: str) -> None:
    """Make the challengers champions by hand, whatever the gates said."""
    from training.registry.aliases import promote_challengers

    _moved(promote_challengers(load_config(path), which), path)


@cli.command()
@click.argument("which", type=click.Choice(["all", "churn", "value", "uplift"]), default="all")
@click.pass_obj
def rollback(path: str, which: str) -> None:
    """Make the models champions again that were so before; again and again, to go further back."""
    from training.registry.aliases import roll_back_champions as run

    _moved(run(load_config(path), which), path)


@cli.command()
@click.option("--cutoffs", type=click.IntRange(min=1), default=12, show_default=True, help="Judge at the last so many.")
@click.option("--learning-curve", is_flag=True, help="Instead: the last cutoff, learned from few to all customers.")
@click.pass_obj
def backtest(path: str, cutoffs: int, learning_curve: bool) -> None:
    """Judge the models at past cutoffs beside the ladder of simpler ones."""
    from training.backtesting import backtest as rolled
    from training.backtesting import learning_curve as grown

    config = load_config(path)
    if learning_curve:
        curve = grown.measure_learning_curve(config)
        text, folder, run_id = grown.learning_curve_text(curve), curve.folder, curve.run_id
    else:
        made = rolled.backtest_models(config, cutoffs)
        text, folder, run_id = rolled.backtest_text(made), made.folder, made.run_id
    click.echo(text)
    _closing(f"{folder}; MLflow run {run_id}", "regulars train", path)


@cli.command()
@click.option("--cutoff", type=_Day(), required=True, help="Score the cohort as known before this day.")
@click.option("--contributions", is_flag=True, help="Also write every feature's contribution.")
@click.option("--resume", is_flag=True, help="Go on with a run of the same that ended early.")
@click.pass_obj
def score(path: str, cutoff: date, contributions: bool, resume: bool) -> None:
    """Score every customer of a cutoff's cohort, with reasons; nothing is done where nothing is new."""
    from serving.scoring.run import score_customers as run

    scores = run(load_config(path), cutoff, contributions, resume)
    click.echo("\n".join(scores.notes), nl=bool(scores.notes))
    there = f"{scores.folder}: {scores.manifest.customers:,} customers"
    _closing(there, f"regulars report --cutoff {cutoff}", path, "written" if scores.new else "scored")


@cli.command()
@click.option("--cutoff", type=_Day(), help="A scored cutoff; the newest where not given.")
@click.pass_obj
def segments(path: str, cutoff: date | None) -> None:
    """Group the customers of a scored cutoff: RFM, lifecycle, tiers, micro-segments, and what they buy together."""
    from serving.segmentation.run import segment_customers
    from serving.segmentation.text import segments_text

    made = segment_customers(load_config(path), cutoff)
    click.echo(segments_text(made))
    _closing(str(made.folder), f"regulars report --cutoff {made.manifest.cutoff}", path)


@cli.command()
@click.option("--cutoff", type=_Day(), required=True, help="For the cohort as known before this day.")
@click.pass_obj
def uplift(path: str, cutoff: date) -> None:
    """Say what each action would change for every customer of a cutoff's cohort."""
    from serving.planning import uplift_scores

    found = uplift_scores.write_uplift_scores(load_config(path), cutoff)
    _closing(
        f"{found.file}: {uplift_scores.uplift_scores_text(found)}", f"regulars plan --cutoff {cutoff} --budget B", path
    )


@cli.command()
@click.argument("customer")
@click.option("--cutoff", type=_Day(), required=True, help="As known before this day.")
@click.option("--below", type=float, help="What if: the risk to come below; the cohort's mean where not given.")
@click.option("--no-what-if", "short", is_flag=True, help="Leave out what would have to be otherwise.")
@click.pass_obj
def explain(path: str, customer: str, cutoff: date, below: float | None, short: bool) -> None:
    """Show one customer's numbers, the reasons for them, and what would have to be otherwise."""
    from serving.customer_report import explain_customer

    click.echo(explain_customer(load_config(path), customer, cutoff, below, not short))


@cli.command()
@click.option("--cutoff", type=_Day(), required=True, help="A scored cutoff.")
@click.option("--budget", type=float, help="Most money to spend; by default that of the config.")
@click.option("--campaign", help="Names the plan and draws its holdout; by default that of the config.")
@click.pass_obj
def plan(path: str, cutoff: date, budget: float | None, campaign: str | None) -> None:
    """Choose one action or none for each customer within a budget, with a holdout."""
    from serving.planning.plan import make_plan as run
    from serving.planning.text import plan_text

    made = run(load_config(path), cutoff, budget, campaign)
    click.echo(plan_text(made))
    _closing(f"{made.folder}: plan.csv is for the campaign tool", f"regulars report --cutoff {cutoff}", path)


@cli.command()
@click.argument("plan")
@click.option("--other-log", is_flag=True, help="Also where the log before the plan is not the one planned from.")
@click.pass_obj
def measure(path: str, plan: str, other_log: bool) -> None:
    """Say what PLAN changed: a plan's folder, or CUTOFF/CAMPAIGN, or CUTOFF for the config's campaign."""
    from serving.measurement.measure import measure_plan as run
    from serving.measurement.measure import refuse_sample_ratio_mismatch
    from serving.measurement.text import measurement_text

    measured = run(load_config(path), plan, other_log)
    click.echo(measurement_text(measured))
    then = "regulars train uplift" if measured.facts["mature"] else f"regulars measure {shlex.quote(plan)}"
    _closing(f"{measured.plan.folder}: measured.json, measured.parquet", then, path)
    refuse_sample_ratio_mismatch(measured)


@cli.command()
@click.option("--cutoff", type=_Day(), help="A scored cutoff; the newest where not given.")
@click.pass_obj
def monitor(path: str, cutoff: date | None) -> None:
    """Look whether all is as it was: data, drift, performance, segments; exit 1 while any alert is open.

    New alerts go to stdout, one JSON object a line, and wherever [monitor] delivers them; the summary goes to stderr.
    """
    from serving.monitoring.monitor import monitor_scores as run
    from serving.monitoring.text import monitoring_text

    found = run(load_config(path), cutoff)
    for alert in found.new:
        click.echo(json.dumps(alert.to_dict(), ensure_ascii=False))
    click.echo(monitoring_text(found), err=True)
    click.echo(f"\nwritten: {found.folder / 'monitor.json'}", err=True)
    for problem in found.undelivered:
        click.echo(f"NOT DELIVERED: {problem}", err=True)
    if found.alerts:
        raise RefusedError(f"{len(found.alerts)} alert(s) open, {len(found.new)} of them new")


@cli.command()
@click.option("--cutoff", type=_Day(), help="A scored cutoff; the newest where not given.")
@click.pass_obj
def report(path: str, cutoff: date | None) -> None:
    """Write the page for analysts."""
    from serving.report.page import write_report

    target = write_report(load_config(path), cutoff)
    _closing(f"{target}: open it in a browser", "regulars explain CUSTOMER --cutoff D", path)


@cli.command("run")
@click.option("--cutoff", type=_Day(), help="By default the day after the last whole one that the log knows.")
@click.option("--accept", is_flag=True, help="Take the log as it is, where it looks cut off, late or twice.")
@click.option("--quiet", is_flag=True, help="Say nothing where all is well.")
@click.pass_obj
def run_night(path: str, cutoff: date | None, accept: bool, quiet: bool) -> None:
    """Do what a night needs: check, score, segments, plan and training when due, monitor, report."""
    from serving.nightly import chain

    lines: list[str] = []
    summary = chain.run_night(load_config(path), cutoff, accept, lines.append if quiet else click.echo)
    if not quiet or summary.code:
        click.echo("\n".join([*lines, chain.night_text(summary)]))
        _closing(str(summary.file), chain.next_command(summary), path, "summary")
    click.get_current_context().exit(summary.code)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; wider asks for a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8501, show_default=True, help="0 takes a free one.")
@click.option("--allow-host", "also", multiple=True, metavar="NAME", help="Another name of the page, as of a proxy.")
@click.pass_obj
def app(path: str, host: str, port: int, also: tuple[str, ...]) -> None:
    """Show the output folder as web pages, read-only, on this machine."""
    from serving.web.app import serve

    serve(load_config(path), host, port, also, click.echo)


@cli.command()
@click.argument("customer")
@click.option("--yes", is_flag=True, help="Do it; without this only what would be done is said.")
@click.pass_obj
def forget(path: str, customer: str, yes: bool) -> None:
    """Remove CUSTOMER from every output, and list the models that learned from them."""
    from serving.privacy.forget import forget_customer, forget_text

    forgot = forget_customer(load_config(path), customer, yes)
    click.echo(forget_text(forgot))
    if not yes:
        raise RefusedError("nothing was removed yet: the above is what would be; run it again with --yes")
    _closing(f"{len(forgot.places):,} files changed or removed", "regulars report", path, "done")


@cli.command()
@click.option("--customers", type=int, required=True, help="How many.")
@click.option("--out", required=True, help="A new or empty folder.")
@click.option("--days", default=730, show_default=True, help="How long the log is.")
@click.option("--start", type=_Day(), default="2023-01-01", show_default=True, help="Its first day.")
@click.option("--seed", default=7, show_default=True, help="The only source of randomness.")
def simulate(customers: int, out: str, days: int, start: date, seed: int) -> None:
    """Write a simulated business, with the truth beside it."""
    from features.simulation.simulate import simulate_business as run

    made = run(Path(out), customers, days=days, start=start, seed=seed)
    written = f"{made.folder}: {made.events:,} events and {made.contacts:,} contacts of {made.customers:,} customers"
    _closing(written, "regulars check", str(made.config))


def _moved(moved: Any, path: str) -> None:
    """What was champion, and what is now."""
    before, after = (", ".join(state.values()) or "none" for state in (moved.before, moved.after))
    _closing(f"{after}, champion (before: {before})", "regulars score --cutoff D", path)


def _closing(written: str, then: str, path: str, word: str = "written") -> None:
    """What was written where, and what to run next, as it can be typed here."""
    option = "" if path == "regulars.toml" else f" -c {shlex.quote(path)}"
    click.echo(f"\n{word + ':':<9}{written}\nnext:    {then.replace('regulars', _typed() + option, 1)}")


def _typed() -> str:
    """How this command was called: by its name where that is enough."""
    called = Path(sys.argv[0])
    return "regulars" if which("regulars") or called.stem != "regulars" else shlex.quote(str(called))


def _settle() -> None:
    """Makes what is written private to the user, and keeps libraries' chatter away from people."""
    os.umask(0o077)
    for module in ("lightgbm", "mlflow", "optuna", "pydantic", "pyspark", "sklearn"):
        warnings.filterwarnings("ignore", module=rf"{module}(\.|$).*")


def main() -> None:
    """Runs the command line."""
    cli()


if __name__ == "__main__":
    main()

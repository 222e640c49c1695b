"""The commands that are killed: how their business is made, what was there before, and what the docs leave open.

What is compared is every file, byte for byte, except: MLflow's database and artefacts, and the tuning study, which hold
run ids and times (compared instead: the registered versions, their aliases and the digests of the champions); and in
the summary of a night, when it ran, how long its steps took, and which steps it found done.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.config.load import Config, load_config, parse_config
from features.errors import RegularsError
from tests.fuzz.workspace import make_workspace
from tests.killing.forks import Phase, value_of
from tests.killing.scenario import Scenario, command, printed
from tests.scored import CUTOFF
from tests.shop import make_shop

CUSTOMERS = 200
PLANNED, SCORED, NEWEST = date(2023, 9, 28), date(2023, 10, 28), date(2023, 11, 27)
RULES = """
[training.promote]
champion = "any"
ladder = "any"
[contacts]
source = "contacts.parquet"
customer = "id"
time = "at"
action = "what"
control = "none"
[plan]
margin = 0.5
holdout = 0.3
curve = 3
budget = 60.0
[plan.actions.mail]
cost = 0.5
save_rate = 0.1
[plan.actions.call]
cost = 2.0
save_rate = 0.3
[run]
plan_every = "7d"
"""
MODEL_STORE: Mapping[str, Callable[[Path], str] | None] = {
    r"^mlflow\.db$": None,
    "^mlartifacts/": None,
    "^output/tuning/": None,
}


@dataclass(frozen=True)
class KilledCommand:
    """A command that can be killed.

    Attributes:
        base: Makes a business of some 200 customers in an empty folder.
        prepare: Makes in it what is there before the command.
        scenario: The scenario in that folder.
    """

    base: Callable[[Path], None]
    prepare: Callable[[Path], None]
    scenario: Callable[[Path], Scenario]


def make_scored_business(folder: Path) -> None:
    """A business with made-up scores and an executed plan; it needs no models."""
    made = make_workspace(folder.with_name(f"{folder.name}-made"), CUSTOMERS, results=False)
    shutil.copytree(made.scored, folder, dirs_exist_ok=True)
    shutil.rmtree(made.root)


def make_trained_business(folder: Path) -> None:
    """A shop with champions, two scored cutoffs, and a plan that was carried out."""
    make_shop(folder, CUSTOMERS)
    config = folder / "regulars.toml"
    config.write_text(config.read_text(encoding="utf-8") + RULES, encoding="utf-8")
    write_contacts(folder, [{"id": "customer-0003", "at": datetime(2023, 2, 1), "what": "mail"}])
    (folder / "first.toml").write_text(
        config.read_text(encoding="utf-8").replace("seed = 5", "seed = 6"), encoding="utf-8"
    )
    run(folder, "-c", "first.toml", "train")
    for cutoff in (PLANNED, SCORED):
        run(folder, "score", "--cutoff", str(cutoff), "--contributions")
    run(folder, "plan", "--cutoff", str(PLANNED))
    plan = pq.read_table(folder / "output" / "plans" / f"cutoff={PLANNED}" / "retention" / "plan.parquet").to_pylist()
    sent = datetime(PLANNED.year, PLANNED.month, PLANNED.day) + timedelta(days=1)
    write_contacts(
        folder, [{"id": row["customer_id"], "at": sent, "what": row["action"]} for row in plan if row["action"]]
    )
    run(folder, "segments", "--cutoff", str(SCORED))
    run(folder, "report", "--cutoff", str(SCORED))


def write_contacts(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write the contacts of the shop."""
    pq.write_table(pa.Table.from_pylist(rows), folder / "contacts.parquet")


def run(folder: Path, *arguments: str) -> None:
    """Run a command that must succeed; an open alert is success."""
    code = int(value_of(lambda: str(command(folder, *arguments)())))
    assert code in (0, 1), f"{' '.join(arguments)}: exit code {code}\n{printed(folder).read_text()}"


def registered(folder: Path) -> str:
    """What is registered in a business's model store: versions, aliases, history, and the digests of the champions."""

    def read() -> str:
        from training.registry.aliases import HISTORY_TAG
        from training.registry.models import DIGEST_TAG, connect_to_mlflow

        config = load_config(folder / "regulars.toml")
        client, facts = connect_to_mlflow(config), []
        for kind in ("churn", "value"):
            name = f"{config.name}-{kind}"
            versions = client.search_model_versions(f"name = '{name}'")
            model = client.get_registered_model(name)
            numbers = sorted((int(one.version), one.tags.get(DIGEST_TAG)) for one in versions)
            facts.append([numbers, sorted(model.aliases.items()), model.tags.get(HISTORY_TAG)])
        return json.dumps(facts)

    return f"{value_of(read)} {champions(folder)}"


def champions(folder: Path) -> str:
    """The champions that scoring would use, or that it refuses; raises nothing."""

    def read() -> str:
        from serving.scoring.predictions import load_champions

        try:
            models = load_champions(load_config(folder / "regulars.toml"))
        except RegularsError as problem:
            return f"refused: {type(problem).__name__}"
        return json.dumps({kind: [one.version.label, one.bundle.digest] for kind, one in models.by_target.items()})

    return value_of(read)


def night_without_times(file: Path) -> str:
    """The summary of a night without when and how long it ran, and which steps it found done."""
    content = json.loads(file.read_text(encoding="utf-8"))
    steps = [{key: step[key] for key in ("name", "code", "inputs", "files")} for step in content["steps"]]
    rest = {key: value for key, value in content.items() if key not in ("started", "seconds", "steps", "checksum")}
    return json.dumps([rest, steps], sort_keys=True)


def in_another_language(*arguments: str) -> Callable[[Path], None]:
    """What was there before: the same command's result in Chinese, so that every byte that readers see differs."""

    def prepare(folder: Path) -> None:
        text = (folder / "regulars.toml").read_text(encoding="utf-8")
        (folder / "before.toml").write_text(text.replace('"en"', '"zh"'), encoding="utf-8")
        run(folder, "-c", "before.toml", *arguments)

    return prepare


def _before_build(folder: Path) -> None:
    run(folder, "build", "--cutoff", str(CUTOFF), "--out", "features.parquet")
    shutil.rmtree(folder / "output" / "snapshots")


def _before_measuring(folder: Path) -> None:
    """The plan was measured when the log was ten days shorter."""
    log = pq.read_table(folder / "log.parquet")
    end = pa.scalar(datetime(CUTOFF.year, CUTOFF.month, CUTOFF.day) + timedelta(days=30))
    pq.write_table(log.filter(pc.less(log["time"], end)), folder / "log.parquet")
    run(folder, "measure", str(CUTOFF))
    pq.write_table(log, folder / "log.parquet")


def _before_forgetting(folder: Path) -> None:
    """Somebody was forgotten before, so the list has its salt, which is random."""
    run(folder, "forget", "customer-0009", "--yes")
    run(folder, "report", "--cutoff", str(SCORED))


def _before_first_use(folder: Path) -> None:
    (folder / "mlflow.db").unlink()
    shutil.rmtree(folder / "mlartifacts")


def _nothing(folder: Path) -> None:
    """Nothing more is there before."""


def _training(folder: Path, phase: Phase) -> Scenario:
    return Scenario(
        folder,
        command(folder, "train"),
        command(folder, "train", "--resume"),
        phase=phase,
        open_files=MODEL_STORE,
        facts=lambda: registered(folder),
        readers=lambda: champions(folder),
    )


def _simple(*arguments: str, codes: tuple[int, ...] = (0,), **options: Any) -> Callable[[Path], Scenario]:
    return lambda folder: Scenario(folder, command(folder, *arguments), codes=codes, **options)


TUNING = Phase("training.fit.tune_models", "training.registry.run_record.save_training_record")
LOGGING = Phase("training.registry.models.log_and_register")
FIRST_USE = Phase("training.registry.models.connect_to_mlflow", "training.train.fit_models")
DAY = ("--cutoff", str(CUTOFF))
OTHER_PLAN = ("plan", *DAY, "--campaign", "spring")
BUILD = ("build", *DAY, "--cutoff", "2024-03-15", "--out", "features.parquet")
FORGET = ("forget", "customer-0001", "--yes")
COMMANDS: Mapping[str, KilledCommand] = {
    "build": KilledCommand(make_scored_business, _before_build, _simple(*BUILD)),
    "segments": KilledCommand(make_scored_business, in_another_language("segments"), _simple("segments")),
    "plan": KilledCommand(make_scored_business, in_another_language(*OTHER_PLAN), _simple(*OTHER_PLAN)),
    "measure": KilledCommand(make_scored_business, _before_measuring, _simple("measure", str(CUTOFF))),
    "monitor": KilledCommand(make_scored_business, in_another_language("monitor"), _simple("monitor", codes=(0, 1))),
    "report": KilledCommand(make_scored_business, in_another_language("report"), _simple("report")),
    "forget": KilledCommand(make_trained_business, _before_forgetting, _simple(*FORGET, by_file=True)),
    "run": KilledCommand(
        make_trained_business,
        _nothing,
        _simple("run", codes=(0, 1), open_files={**MODEL_STORE, "^output/runs/[^/]+json$": night_without_times}),
    ),
    "train-tuning": KilledCommand(make_trained_business, _nothing, lambda folder: _training(folder, TUNING)),
    "train-logging": KilledCommand(make_trained_business, _nothing, lambda folder: _training(folder, LOGGING)),
    "train-first-use": KilledCommand(
        make_trained_business, _before_first_use, lambda folder: _training(folder, FIRST_USE)
    ),
}


def scoring(path: Path, cutoff: date) -> Scenario:
    """Scoring of a trained business with `--contributions --resume`; its champions are loaded once for all runs."""
    import ibis.backends.duckdb  # noqa: F401 (a fork would import it each time)

    from serving.scoring import run as scoring_run

    config = _scored_elsewhere(load_config(path), reasons=3)
    models = scoring_run.load_champions(config)
    scoring_run.load_champions = lambda config: models
    folder = config.output.parent

    def score(chosen: Config) -> int:
        scoring_run.score_customers(chosen, cutoff, with_contributions=True, resume=True)
        return 0

    value_of(lambda: str(score(_scored_elsewhere(config, reasons=1))))
    publishing = "serving.scoring.run._publish"
    return Scenario(
        folder, lambda: score(config), publishing=publishing, chained=True, may_vanish="output/contributions"
    )


def _scored_elsewhere(config: Config, **serving: Any) -> Config:
    values = config.model_dump(mode="json", exclude={"folder"})
    values["serving"] |= {"output": str(config.folder / "killed" / "output"), "chunk": 90, **serving}
    return parse_config(values, config.folder / "regulars.toml")

"""The house rules that a machine can check: the arrows between rooms, what they may use, and the files around them."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import regulars

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("features", "training", "serving")
HOUSE = (*ROOMS, "regulars")  # each may import those to its left and itself
PICKLES = {"pickle", "joblib", "cloudpickle", "dill"}
EXTRA_TESTS: dict[str, set[str]] = {
    "features": {"parity"},
    "training": set(),
    "serving": {"faults", "damaged_outputs"},
}  # of no one module
PACKAGES = sorted(
    path.parent.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).rglob("__init__.py")
)
MODULES = sorted(path.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).rglob("*.py"))
ORACLE = ("features/snapshots/test_build.py", "an oracle computes every feature and label again from single rows")
CONFIG = ("features/config/test_load.py", "their rules are checked when a config is loaded")
GUESS = ("features/config_guess/test_guess.py", "a part of the guess, and needs data to look at")
ERASURE = ("serving/privacy/test_forget.py", "needs a log, its outputs and models that know a customer")
CAMPAIGNS = ("serving/campaigns/test_overview.py", "shows a list of campaigns, and needs measured plans")
MEASUREMENT = ("serving/measurement/test_measure.py", "needs a plan that was carried out")
PLAN = ("serving/planning/test_plan.py", "a part of a plan, and needs scores")
REPORT = ("serving/report/test_page.py", "a section of the report")
SCORING = ("serving/scoring/test_run.py", "a step of scoring, and needs registered models")
SEGMENTATION = ("serving/segmentation/test_run.py", "a step of segmentation, and needs scores")
TESTED_THROUGH: dict[str, tuple[str, str]] = {  # modules without a test file of their own: (test file, reason)
    "serving/web/views/plan_list.py": ("serving/web/test_downloads.py", "the list of a plan, shown and as a file"),
    "serving/web/views/customer_filter.py": (
        "serving/web/views/test_customers.py",
        "what an address asks for, on the list that it gives",
    ),
    "training/evaluation_text.py": ("training/test_fit.py", "what the terminal shows of a training"),
    "features/outputs/manifest_entries.py": ("features/outputs/test_manifests.py", "the entries of manifests"),
    "features/catalog/categories.py": ORACLE,
    "features/catalog/cohort_ranks.py": ORACLE,
    "features/catalog/custom_checks.py": (
        "features/catalog/test_custom.py",
        "refuses users' features when they are read or computed",
    ),
    "features/catalog/lifetime.py": ORACLE,
    "features/catalog/prices.py": ORACLE,
    "features/catalog/recency.py": ORACLE,
    "features/catalog/seasonality.py": ORACLE,
    "features/catalog/trends.py": ORACLE,
    "features/catalog/windows.py": ORACLE,
    "features/config/sections.py": CONFIG,
    "features/config/table_sections.py": CONFIG,
    "features/config_guess/column_profile.py": GUESS,
    "features/config_guess/skeleton.py": GUESS,
    "features/engines/duckdb.py": ("features/engines/test_base.py", "the tests of the protocol run on it"),
    "features/engines/duckdb_times.py": ("features/engines/test_base.py", "the tests of the protocol run on it"),
    "features/engines/spark_frames.py": ("features/engines/test_spark.py", "needs a running Spark"),
    "features/engines/spark_workers.py": ("features/engines/test_spark.py", "runs in Spark's workers only"),
    "features/engines/window_totals.py": (
        "features/engines/test_window_aggregate.py",
        "the inner loop of window_aggregate",
    ),
    "features/intake/tables.py": ("features/intake/test_read_log.py", "dataclasses without methods, and constants"),
    "features/money.py": ("features/intake/test_read_log.py", "dataclasses without methods, and constants"),
    "features/point_in_time/history.py": ORACLE,
    "features/snapshots/cohort_features.py": ORACLE,
    "features/snapshots/membership.py": ERASURE,
    "features/snapshots/outcomes.py": ORACLE,
    "features/sources/csv_counts.py": ("features/sources/test_csv_reader.py", "a step of reading CSV"),
    "features/sources/csv_groups.py": ("features/sources/test_csv_reader.py", "a step of reading CSV"),
    "serving/campaigns/tables.py": CAMPAIGNS,
    "serving/campaigns/text.py": CAMPAIGNS,
    "serving/campaigns/wording.py": CAMPAIGNS,
    "serving/customer_report_text.py": ("serving/test_customer_report.py", "the text of the same report"),
    "serving/customer_explanations.py": ("test_api.py", "part of the public API, and needs scores"),
    "serving/explanation/leaf_groups.py": (
        "serving/explanation/test_treeshap.py",
        "compiled loops, whose sums are compared with LightGBM's",
    ),
    "serving/explanation/treeshap_kernels.py": (
        "serving/explanation/test_treeshap.py",
        "compiled loops, whose sums are compared with LightGBM's",
    ),
    "serving/measurement/compared_outcomes.py": (
        "serving/measurement/test_effect_estimates.py",
        "what it prepares is compared there",
    ),
    "serving/measurement/executed_plan.py": MEASUREMENT,
    "serving/measurement/text.py": MEASUREMENT,
    "serving/monitoring/inputs.py": ("serving/monitoring/test_monitor.py", "needs a scored cutoff and its log"),
    "serving/monitoring/text.py": ("serving/monitoring/test_monitor.py", "needs a scored cutoff and its log"),
    "serving/nightly/steps.py": ("serving/nightly/test_chain.py", "the steps of the chain"),
    "serving/effects/action_effects.py": ("serving/effects/test_uplift_scores.py", "needs an uplift model"),
    "serving/effects/effect_table.py": PLAN,
    "serving/planning/eligibility.py": PLAN,
    "serving/planning/inputs.py": PLAN,
    "serving/planning/manifest.py": PLAN,
    "serving/planning/rules.py": PLAN,
    "serving/planning/table.py": PLAN,
    "serving/planning/text.py": PLAN,
    "serving/privacy/documents.py": ERASURE,
    "serving/privacy/erase.py": ERASURE,
    "serving/privacy/model_store.py": ERASURE,
    "serving/privacy/search.py": ERASURE,
    "serving/privacy/tables.py": ERASURE,
    "serving/report/data.py": REPORT,
    "serving/scoring/chunks.py": SCORING,
    "serving/scoring/passes.py": SCORING,
    "serving/segmentation/assignments.py": SEGMENTATION,
    "serving/segmentation/text.py": SEGMENTATION,
    "training/artifact/uplift_pyfunc.py": ("training/uplift/test_train.py", "logs and loads what training gives"),
    "training/evaluation/longer_horizons.py": (
        "training/models/test_longer_horizons.py",
        "shares the fitted models, which take long",
    ),
    "training/models/base_models.py": ("training/models/test_ensemble.py", "fits the parts of an ensemble"),
    "training/registry/champion_challenger.py": (
        "training/registry/test_promotion_gates.py",
        "the comparison that the gates decide on",
    ),
    "training/registry/lineage.py": ERASURE,
    "training/uplift/registry.py": ("training/uplift/test_train.py", "logs and loads what training gives"),
}


def imports(tree: ast.Module, room: str) -> Iterator[tuple[int, str]]:
    """Yields (line, top-level package) of every import, inside functions too; relative ones are the room's own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, room if node.level else (node.module or "").split(".")[0]


def breaches(source: str, path: str) -> list[str]:
    """The rules that a module breaks, as 'path:line: why'.

    >>> breaches("from serving.scoring.run import score", "features/point_in_time/labels.py")
    ['features/point_in_time/labels.py:1: imports serving, which stands after features']
    """
    room = path.split("/")[0].removesuffix(".py")
    tree = ast.parse(source)
    found = []
    for line, name in imports(tree, room):
        if name in HOUSE and path == "features/task.py":
            found.append((line, f"imports {name}, but the task imports nothing of ours"))
        elif name in HOUSE and HOUSE.index(name) > HOUSE.index(room):
            found.append((line, f"imports {name}, which stands after {room}"))
        elif name in PICKLES and room in ROOMS:
            found.append((line, f"imports {name}: a fitted model is text"))
    for node in ast.walk(tree) if room in ROOMS else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            found.append((node.lineno, "prints: rooms return, the front door prints"))
    return [f"{path}:{line}: {why}" for line, why in sorted(found)]


def requirements(lines: list[str]) -> dict[str, Requirement]:
    """Requirements by canonical name."""
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def constraint_lines() -> list[str]:
    """The lines of constraints.txt that are not comments."""
    return [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]


def project() -> dict:
    """The [project] table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def entry_points() -> dict[str, dict]:
    """The entry points of MLproject by name."""
    return yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


@pytest.mark.parametrize("path", [*MODULES, "regulars.py"])
def test_module_keeps_the_rules(path: str) -> None:
    assert breaches((ROOT / path).read_text(encoding="utf-8"), path) == []


def missing_imports(source: str) -> list[str]:
    """The modules of ours or of the tests that a file imports and that are not there.

    >>> missing_imports("from features.task import Task\\nfrom tests.nowhere import x")
    ['tests.nowhere']
    """
    modules = {
        node.module or ""
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (*ROOMS, "tests", "benchmarks")
    }
    places = {name: ROOT.joinpath(*name.split(".")) for name in modules}
    return sorted(
        name for name, place in places.items() if not place.is_dir() and not place.with_suffix(".py").exists()
    )


def test_tests_import_what_is_there() -> None:
    """Pytest skips a file whose imports fail (extras may be absent): a misspelt module would hide its tests."""
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    missing = {file.name: names for file in files if (names := missing_imports(file.read_text(encoding="utf-8")))}
    assert missing == {}


def test_every_room_was_read() -> None:
    assert {path.split("/")[0] for path in MODULES} == set(ROOMS)


@pytest.mark.parametrize(
    ("source", "path", "why"),
    [
        ("import training.data.time_split", "features/point_in_time/labels.py", "imports training"),
        ("def f():\n    from regulars import cli", "serving/scoring/run.py", "imports regulars"),
        ("from serving.scoring import run as score", "training/models/churn.py", "imports serving"),
        ("from features.config.load import Config", "features/task.py", "nothing of ours"),
        ("from . import config", "features/task.py", "nothing of ours"),
        ("import numpy, joblib as j", "training/artifact/bundle.py", "imports joblib"),
        ("x = 1\nprint(x)", "serving/report/page.py", "page.py:2: prints"),
    ],
)
def test_checker_finds_a_breach(source: str, path: str, why: str) -> None:
    (found,) = breaches(source, path)
    assert why in found


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("from features.task import Task\nfrom training.data import time_split as split", "serving/scoring/run.py"),
        ("from . import labels\nimport json", "features/snapshots/build.py"),
        ("import serving.report.page\nprint('hello')", "regulars.py"),
    ],
)
def test_checker_lets_the_rest_pass(source: str, path: str) -> None:
    assert breaches(source, path) == []


@pytest.mark.parametrize("room", PACKAGES)
def test_tests_mirror_the_packages(room: str) -> None:
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / room).glob("test_*.py")}
    assert tested - {path.stem for path in (ROOT / room).glob("*.py")} <= EXTRA_TESTS.get(room, set())


def mirrored_test(module: str) -> Path:
    """The test file of a module's own name.

    >>> mirrored_test("features/task.py").relative_to(ROOT).as_posix()
    'tests/features/test_task.py'
    """
    return ROOT / "tests" / Path(module).with_name(f"test_{Path(module).name}")


@pytest.mark.parametrize("module", [path for path in MODULES if not path.endswith("__init__.py")])
def test_each_module_has_its_tests(module: str) -> None:
    if module not in TESTED_THROUGH:
        assert mirrored_test(module).is_file(), f"write {mirrored_test(module)}, or say in TESTED_THROUGH what tests it"
        return
    file, _ = TESTED_THROUGH[module]
    assert (ROOT / "tests" / file).is_file()
    assert not mirrored_test(module).exists(), "take it off TESTED_THROUGH: it has its own tests"


def test_no_module_that_is_gone_is_listed() -> None:
    assert set(TESTED_THROUGH) <= set(MODULES)


def test_ci_runs_the_readme_command() -> None:
    command = (ROOT / ".ci" / "run").read_text().splitlines()[-1]
    assert "tests/everything.py" in command
    assert command in [line.strip() for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()]


def test_constraints_are_plain_pins() -> None:
    assert [line for line in constraint_lines() if not re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", line)] == []


def test_constraints_pin_what_pyproject_allows() -> None:
    pins = requirements(constraint_lines())
    wanted = project()["dependencies"] + [x for extra in project()["optional-dependencies"].values() for x in extra]
    for name, wish in requirements(wanted).items():
        if name != "regulars":
            (pin,) = pins[name].specifier
            assert wish.specifier.contains(pin.version), f"{wish}, but constraints.txt has {pins[name]}"


def test_mlflow_installs_the_same_ranges_and_not_the_project() -> None:
    listed = yaml.safe_load((ROOT / "python_env.yaml").read_text())["dependencies"]
    assert sorted(listed) == sorted(project()["dependencies"] + project()["optional-dependencies"]["demo"])


@pytest.mark.parametrize("name", entry_points())
def test_mlproject_names_only_what_regulars_knows(name: str) -> None:
    entry = entry_points()[name]
    program, script, *words = shlex.split(entry["command"])
    assert (program, script) == ("python", "regulars.py")
    if words[0] == "-c":
        words = words[2:]
    flag = name.partition("_")[2]  # an entry point cannot have a flag as a parameter, nor leave an option out
    command = name.partition("_")[0]
    assert words[0] == command and command in regulars.cli.commands
    options = {text for parameter in regulars.cli.commands[command].params for text in parameter.opts}
    assert not flag or f"--{flag}" in words
    assert flag or "--quick" not in words
    assert {word for word in words if word.startswith("-")} <= options
    assert set(re.findall(r"{(\w+)}", entry["command"])) == set(entry["parameters"])
    assert isinstance(regulars.cli, click.Group)


def test_every_package_is_installed_with_what_its_pages_are_made_of() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {
        path.parent.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).rglob("__init__.py")
    }
    assert {name.replace(".", "/") for name in setup["packages"]} == packages
    shipped = {
        path
        for package, patterns in setup["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    files = {path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()}
    data = {path for path in files if path.suffix != ".py" and path.parent.name != "__pycache__"}
    assert data <= shipped

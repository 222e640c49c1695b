"""Refuses a command that cannot succeed before anything large is imported or read.

What the config, the options, the manifests and the names in the output folder say is enough for that. The functions
that do the work check the same again, for callers from Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from features.config.load import Config, load_config
from features.errors import UsageError
from features.outputs.ownership import require_output_folder
from training.registry.tracking_store import require_store_for_champion

Options = Mapping[str, Any]


def refuse_early(command: str, path: str, options: Options) -> None:
    """Refuses a command whose config, options or outputs already show that it cannot be done.

    Args:
        command: Its name.
        path: The config file.
        options: Its options and arguments.

    Raises:
        UsageError: The config is wrong, a section is missing, an option does not fit, or something must be run first.
        RefusedError: A gate of the project refuses it.
    """
    if command in WITHOUT_CONFIG:
        return
    config = load_config(path)
    require_output_folder(config.output)
    check = CHECKS.get(command)
    if check is not None:
        check(config, options)


def _build(config: Config, options: Options) -> None:
    from features.snapshots.built_file import require_build_target

    require_build_target(config, Path(options["out"]))


def _train(config: Config, options: Options) -> None:
    if options["which"] == "uplift" and (options["compare"] or options["kept"] or options["resume"]):
        raise UsageError("--compare, --log and --resume are for churn and value; `train uplift` has no options")
    if options["kept"] is not None and not Path(options["kept"]).is_dir():
        raise UsageError(f"--log: {options['kept']} is not a folder; expected a training that was kept for later")
    if options["which"] == "value":
        config.require_value()
    if options["which"] == "uplift":
        from features.campaigns.required_contacts import require_uplift_contacts

        require_uplift_contacts(config)


def _champion(config: Config, options: Options) -> None:
    require_store_for_champion(config, "churn")


def _uplift(config: Config, options: Options) -> None:
    require_store_for_champion(config, "uplift")


def _explain(config: Config, options: Options) -> None:
    from serving.customer_report import require_probability

    require_probability(options["below"])
    require_store_for_champion(config, "churn")


def _scored(config: Config, options: Options) -> None:
    config.outputs.require_scored(options["cutoff"])


def _plan(config: Config, options: Options) -> None:
    from serving.experiments.arms import parse_arms
    from serving.planning.rules import experiment_campaign, plan_rules, refuse_measured, require_detectable

    if options["share"]:
        config.outputs.require_scored(options["cutoff"])
        return
    test, campaign = options["test"], options["campaign"]
    stated = config.plan is None or any(action.save_rate is not None for action in config.plan.actions.values())
    require_detectable(options["detect"])
    if test is not None and config.plan is not None:
        parse_arms(test, config.plan.actions)
        campaign = experiment_campaign(config, campaign)
    needs_budget = test is None and stated  # without any stated effect, it may be a pilot
    rules = plan_rules(config, options["budget"], campaign, cutoff=options["cutoff"], needs_budget=needs_budget)
    config.outputs.require_scored(options["cutoff"])
    refuse_measured(config.outputs.plan(options["cutoff"], rules.campaign))


def _measure(config: Config, options: Options) -> None:
    from features.campaigns.required_contacts import require_contacts
    from serving.planning.rules import find_plan_manifest, plan_reference

    find_plan_manifest(config, *plan_reference(options["plan"]))
    require_contacts(config)


WITHOUT_CONFIG = ("demo", "init", "simulate")
CHECKS: Mapping[str, Callable[[Config, Options], None]] = {
    "build": _build,
    "train": _train,
    "promote": _champion,
    "rollback": _champion,
    "score": _champion,
    "explain": _explain,
    "uplift": _uplift,
    "segments": _scored,
    "monitor": _scored,
    "report": _scored,
    "plan": _plan,
    "measure": _measure,
}

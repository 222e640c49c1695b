"""`train uplift` from the log to MLflow: its estimates, its texts, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

import regulars
from features.config.load import Config
from features.errors import RefusedError, UsageError
from training.registry import aliases, models
from training.uplift import registry, train
from training.uplift.metrics import ConfidenceInterval
from training.uplift.train import TrainedUplift, refusal_reasons

pytestmark = pytest.mark.xdist_group("uplift")


def test_only_the_action_that_works_has_an_effect(learned_effects: TrainedUplift) -> None:
    averages = {(one.action, one.outcome): one.average for one in learned_effects.estimates.evaluated}
    assert set(averages) == {(a, o) for a in ("email", "voucher") for o in ("return", "value")}
    assert averages["email", "return"].low > 0.05 and averages["email", "value"].low > 0
    assert averages["voucher", "return"].low < 0 < averages["voucher", "return"].high
    assert learned_effects.arms.arm.tolist() == ["nothing", "email", "voucher"]
    assert learned_effects.estimates.bundle.facts["rounds"] == ["2023-03-02", "2023-05-01"]


def test_the_text_says_the_effects(learned_effects: TrainedUplift) -> None:
    text = train.uplift_text(learned_effects)
    assert "email, effect on return: +" in text and "points on average" in text
    assert "p = " in text and "balance: of " in text and "OBSERVATIONAL" not in text
    assert (learned_effects.folder / "run" / "uplift.txt").read_text() == text + "\n"


def test_it_is_champion_beside_churn_and_value(business: Config, learned_effects: TrainedUplift) -> None:
    champion = registry.load_uplift_champion(business)
    assert champion is not None
    bundle, version = champion
    assert bundle == learned_effects.estimates.bundle
    assert (version.label, version.champion) == ("trials-uplift/1", True)
    run = models.connect_to_mlflow(business).get_run(version.run_id)
    assert run.data.tags["regulars.source"] == "measured"
    assert run.data.params["control"] == "none"
    assert {"return.1.average", "return.1.average_low", "value.2.qini_high"} <= set(run.data.metrics)


def test_mlflow_predicts_as_the_bundle(business: Config, learned_effects: TrainedUplift) -> None:
    client: MlflowClient = models.connect_to_mlflow(business)
    bundle = learned_effects.estimates.bundle
    model = mlflow.pyfunc.load_model("models:/trials-uplift@champion")
    rows = pd.DataFrame([{name: float(i) for name in bundle.features if name not in bundle.levels} for i in range(5)])
    rows = rows.assign(**{name: "new" for name in bundle.levels})[list(bundle.features)]
    predicted = model.predict(rows)
    for name, numbers in bundle.predict(rows).items():
        np.testing.assert_array_equal(predicted[name].to_numpy(), numbers)
    assert "email" in client.get_model_version("trials-uplift", "1").description


def test_the_same_training_registers_nothing_new_and_stays_champion(
    business: Config, learned_effects: TrainedUplift
) -> None:
    done = CliRunner().invoke(regulars.cli, ["-c", str(business.folder / "regulars.toml"), "train", "uplift"])
    assert done.exit_code == 0
    assert done.output.startswith(train.uplift_text(learned_effects))
    assert "written: trials-uplift/1 (as before, bit by bit), champion, measured" in done.output
    assert "uplift --cutoff 2023-06-25" in done.output


def test_worse_than_no_model_stays_challenger(learned_effects: TrainedUplift) -> None:
    one = learned_effects.estimates.evaluated[0]
    differs = replace(one.effect, slope=0.1)
    assert (
        refusal_reasons(
            replace(learned_effects.estimates, evaluated=(replace(one, effect=differs, loss_reduction=1.0),))
        )
        == []
    )
    worse = replace(one, effect=differs, loss_reduction=-2.0, area=ConfidenceInterval(-0.2, -0.3, -0.1))
    loss, area = refusal_reasons(replace(learned_effects.estimates, evaluated=(worse,)))
    assert "2.0 standard errors above that of the average effect" in loss and "less than targeting at random" in area
    flat = replace(worse, effect=replace(one.effect, slope=0.0))
    assert refusal_reasons(replace(learned_effects.estimates, evaluated=(flat,))) == []
    assert "stays challenger" in train.uplift_refusal(replace(learned_effects, reasons=(loss, area)))


def test_it_moves_alone(business: Config, learned_effects: TrainedUplift) -> None:
    with pytest.raises(UsageError, match="has no challenger for uplift"):
        aliases.promote_challengers(business, "uplift")
    with pytest.raises(UsageError, match="nothing to roll back to: trials-uplift/1 is champion"):
        aliases.roll_back_champions(business, "uplift")
    with pytest.raises(UsageError, match="nothing to roll back to: no model is champion"):
        aliases.roll_back_champions(business)


def changed(config: Config, section: str, **values: object) -> Config:
    """The config with other keys in one section."""
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


def test_without_propensities_it_refuses_unless_the_config_accepts(business: Config, tmp_path: Path) -> None:
    blind = changed(business, "contacts", propensity="")
    with pytest.raises(RefusedError, match=r"propensity is not set.*observational = true"):
        train.train_uplift(blind)
    seen = changed(changed(blind, "uplift", observational=True), "serving", output=str(tmp_path / "other"))
    trained = train.train_uplift(seen.model_copy(update={"name": "seen"}))
    assert trained.estimates.bundle.source == "observational" and trained.overlap.estimated
    text = train.uplift_text(trained)
    assert (
        text.startswith("OBSERVATIONAL: these contacts were not randomised")
        and "have no comparable ones in the other group" in text
    )
    assert "observational" in train.uplift_outcome(trained)
    assert trained.arms.customers.iloc[0] > 0


def test_the_command_says_what_is_wrong(business: Config) -> None:
    config = str(business.folder / "regulars.toml")
    done = CliRunner().invoke(regulars.cli, ["-c", config, "train", "uplift", "--compare"])
    assert done.exit_code == 2 and "`train uplift` has no options" in done.output

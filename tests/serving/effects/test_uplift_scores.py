"""The uplift scores that a plan reads: every customer and action once, equal to the effects of the model."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from click.testing import CliRunner

import regulars
from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import UsageError
from features.snapshots.build import build_snapshots
from serving.effects import uplift_scores
from serving.effects.action_effects import load_action_effects
from training.uplift.train import TrainedUplift

pytestmark = pytest.mark.xdist_group("uplift")
CUTOFF = date(2023, 6, 20)


@pytest.fixture(scope="module")
def written(business: Config, learned_effects: TrainedUplift) -> uplift_scores.UpliftScores:
    return uplift_scores.write_uplift_scores(business, CUTOFF)


def test_every_customer_and_action_once(
    business: Config, learned_effects: TrainedUplift, written: uplift_scores.UpliftScores
) -> None:
    table = written.table()
    cohort = build_snapshots(business, [CUTOFF], with_labels=False)
    ids = cohort.rows["customer_id"].to_pylist()
    assert written.file == business.output / "uplift" / f"cutoff={CUTOFF}" / "effects.parquet"
    assert table.schema == uplift_scores.UPLIFT_SCHEMA
    bundle = learned_effects.estimates.bundle
    assert written.manifest.evidence == bundle.evidence() and set(bundle.evidence()) == {"email", "voucher"}
    known = written.manifest.evidence["email"]["value"]
    assert known["average"] == bundle.outcomes["value"].effects["email"].average and known["gain_error"] > 0
    pairs = list(zip(table["customer_id"].to_pylist(), table["action"].to_pylist(), strict=True))
    assert pairs == [(who, action) for who in sorted(ids) for action in ("email", "voucher")]
    assert set(table["source"].to_pylist()) == {"measured"}
    assert "email, voucher, measured, by trials-uplift/1" in uplift_scores.uplift_scores_text(written)
    effects = learned_effects.estimates.bundle.predict_effects(cohort.rows)
    emails = table.filter(np.array(table["action"]) == "email")
    order = np.argsort(ids)
    np.testing.assert_array_equal(emails["effect_return"].to_numpy(), effects["return"]["email"][0][order])
    np.testing.assert_array_equal(emails["effect_return_error"].to_numpy(), effects["return"]["email"][1][order])
    np.testing.assert_array_equal(emails["effect_value"].to_numpy(), effects["value"]["email"][0][order])
    np.testing.assert_array_equal(emails["effect_value_error"].to_numpy(), effects["value"]["email"][1][order])


def test_chunks_change_nothing(
    business: Config, learned_effects: TrainedUplift, written: uplift_scores.UpliftScores
) -> None:
    cohort = build_snapshots(business, [CUTOFF], with_labels=False)
    table = uplift_scores.uplift_table(learned_effects.estimates.bundle, cohort, chunk=100)
    for name in ("effect_value", "effect_value_error"):
        np.testing.assert_allclose(table[name].to_numpy(), written.table()[name].to_numpy(), rtol=1e-9)


def test_models_and_effects_with_days_of_another_zone_are_refused(
    business: Config, written: uplift_scores.UpliftScores
) -> None:
    moved = business.model_copy(update={"task": business.task.model_copy(update={"timezone": "Asia/Tokyo"})})
    with pytest.raises(UsageError, match="trials-uplift/1 was trained with days that begin in 'UTC'"):
        uplift_scores.write_uplift_scores(moved, CUTOFF)
    with pytest.raises(UsageError, match="was computed with days that begin in 'UTC'.*`regulars uplift`"):
        load_action_effects(
            moved, PlanConfig.model_validate({"actions": {"email": {"cost": 1}}}), CUTOFF, written.table()
        )


def test_the_command_writes_them_or_says_what_to_run(business: Config, written: uplift_scores.UpliftScores) -> None:
    config = business.folder / "regulars.toml"
    done = CliRunner().invoke(regulars.cli, ["-c", str(config), "uplift", "--cutoff", str(CUTOFF)])
    assert done.exit_code == 0 and f"written: {written.file}: " in done.output
    other = business.folder / "other.toml"
    other.write_text(config.read_text(encoding="utf-8").replace('name = "trials"', 'name = "other"'), encoding="utf-8")
    done = CliRunner().invoke(regulars.cli, ["-c", str(other), "uplift", "--cutoff", str(CUTOFF)])
    assert done.exit_code == 2
    assert "no model other-uplift is registered" in done.output and "regulars train uplift" in done.output

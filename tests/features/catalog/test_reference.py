"""The page of the catalog says what the catalog holds."""

from __future__ import annotations

from pathlib import Path

from features.catalog.families import catalog_features
from features.catalog.reference import FULL_CONTRACT, features_page
from features.config.sections import TaskConfig

PAGE = Path(__file__).resolve().parents[3] / "docs" / "features.md"


def test_the_page_is_the_catalog() -> None:
    assert PAGE.read_text(encoding="utf-8") == features_page(), (
        "run `python -m features.catalog.reference docs/features.md`"
    )


def test_every_feature_of_a_full_contract_is_on_it() -> None:
    features, task = catalog_features(TaskConfig().to_task(), FULL_CONTRACT), TaskConfig().to_task()
    page = features_page()
    assert len(features) >= 120
    for feature in features:
        general = feature.name
        for letter, w in zip("WVU", [w for w in task.windows if f"_{w}" in general], strict=False):
            general = general.replace(f"_{w}", f"_{letter}")
        assert f"| `{general}` |" in page

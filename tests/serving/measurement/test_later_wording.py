"""What became of an effect after the horizon, in a sentence."""

from __future__ import annotations

from features.outputs.manifests import Measurement
from serving.language.messages import get_language
from serving.measurement.later_wording import later_sentences

ROW = {
    "horizons": 2, "action": "mail", "first": [4.0, 3.0, 5.0], "later": [-3.5, -4.5, -2.5], "whole": [0.5, -1.0, 2.0],
    "kind": "pulled forward",
}  # fmt: skip
MEASURED = Measurement.model_validate(
    {
        "cutoff": "2024-03-01", "campaign": "a", "mature": True, "log": {}, "effects": [], "customers": {},
        "sample_ratio": {"alarm": False}, "horizon_days": 30, "later": [ROW],
    }
)  # fmt: skip


def test_the_sentence_has_first_later_and_whole() -> None:
    assert list(later_sentences(MEASURED, get_language("en"))) == [
        "mail: +4.00 of value a customer within 30 days, then −3.50 (−4.50 to −2.50) until day 60, in all +0.50 "
        "(−1.00 to +2.00): purchases were only pulled forward."
    ]
    (chinese,) = later_sentences(MEASURED, get_language("zh"))
    assert chinese.endswith("只是把购买提前了。")

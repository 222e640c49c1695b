"""What a reader of scores should know: they tell nobody apart, a quick look made them, or the config changed since."""

from __future__ import annotations

from datetime import date

from features.outputs.manifests import ScoreManifest
from features.task import UTC_ZONE
from serving.language.messages import N_, Language
from serving.scoring.value_tiers import NO_SKILL

QUICK_SCORES = N_(
    "These scores come from a quick look (`regulars train --quick`), a model of few rows that was not tuned: run "
    "`regulars train` before you rely on them."
)


def notes_on_scores(own_zone: str, manifest: ScoreManifest, cutoff: date, tr: Language) -> list[str]:
    """Sentences about scores that tell nobody apart, are of a quick look, or do not fit the config; or empty.

    Args:
        own_zone: [task] timezone as it is now.
        manifest: What was recorded with the scores.
        cutoff: Their cutoff.
        tr: The language of the reader.

    Returns:
        One sentence for each.
    """
    notes = [] if manifest.skill else [tr(NO_SKILL)]
    if any(model.get("quick") for model in manifest.models.values()):
        notes.append(tr(QUICK_SCORES))
    model = manifest.models.get("churn")
    zone = (model.get("task", {}) if model else {}).get("timezone", UTC_ZONE)
    if zone != own_zone:
        notes.append(
            tr(
                "The days of these scores begin in the time zone {theirs}, and the config now says {ours}: run "
                "`regulars train` and `regulars score --cutoff {cutoff}`, or set [task] timezone back.",
                theirs=zone,
                ours=own_zone,
                cutoff=cutoff,
            )
        )
    if manifest.language != tr.code:
        notes.append(
            tr(
                "Reasons are in the language in which the customers were scored ({code}): `regulars score --cutoff "
                "{cutoff}` writes them in the language of this page.",
                code=manifest.language,
                cutoff=cutoff,
            )
        )
    return notes

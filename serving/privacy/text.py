"""What a removal did, or would do, as text for a terminal."""

from __future__ import annotations

from pathlib import Path

from features.errors import RefusedError
from features.intake.customer_ids import FORGOTTEN_FILE
from serving.privacy.erase import REMOVED_FROM_CACHE
from serving.privacy.forget import ForgottenCustomer


def forget_text(result: ForgottenCustomer) -> str:
    """What was removed and what the user still has to do, as text for a terminal."""
    cached = [place for place, what in result.places if what == REMOVED_FROM_CACHE]
    lines = [f"{place}: {what}" for place, what in result.places if what != REMOVED_FROM_CACHE]
    if cached:
        lines.append(f"{Path(cached[0]).parent}: {len(cached):,} files {REMOVED_FROM_CACHE}")
    lines = lines or ["no file of the output names the customer"]
    if result.rows is not None:
        lines.append(f"[serving] table: {result.rows:,} rows removed")
    lines += [
        f"{file}: names the customer, but was not written by regulars: check it yourself"
        for file in result.foreign_files
    ]
    lines += [f"NOT SEARCHED: {what}: {why}" for what, why in result.unopened]
    lines += ["", "models"]
    lines += [f"  {line}" for line in result.models] or ["  no model is known to be trained on the customer"]
    if result.models:
        lines.append("  models contain no customer rows; retrain if they must not be trained on the customer")
    lines += ["", "your own data"]
    tables = ", ".join(f"{rows:,} in {table}" for table, rows in result.source.items())
    lines.append(
        f"  rows of the customer: {tables or 'none found'}" + ("; remove them there, and in backups" * bool(tables))
    )
    lines.append(
        f"  until then they are set aside as 'forgotten' whenever tables are read ({FORGOTTEN_FILE} of the output)"
    )
    return "\n".join([*lines, *(f"note: {note}" for note in result.notes)])


def require_complete(result: ForgottenCustomer) -> None:
    """Raise RefusedError if nothing was removed yet, or if something could not be searched."""
    if not result.done:
        raise RefusedError("nothing was removed yet: the lines above show what would be; run it again with --yes")
    if result.unopened:
        raise RefusedError(
            f"{len(result.unopened):,} place(s) could not be searched, see above, and may still name the customer: "
            "mend or remove them, and run this again"
        )

"""Reports of errors that nobody foresaw may quote a customer: forgetting the customer removes such reports."""

from __future__ import annotations

from contextlib import suppress

from serving.privacy.mentions import names_customer
from serving.unforeseen import error_reports

REMOVED = "removed: the report of an error that nobody foresaw"


def remove_error_reports(names: frozenset[str], confirmed: bool) -> list[tuple[str, str]]:
    """Removes the reports of this user that name a customer.

    Args:
        names: The customer's ids.
        confirmed: Whether to do it; otherwise nothing is changed.

    Returns:
        Each file that is, or would be, removed, with the change in words.
    """
    places = []
    for file in error_reports():
        with suppress(FileNotFoundError):
            if names_customer(file.read_text(encoding="utf-8", errors="replace"), names):
                places.append((str(file), REMOVED))
                if confirmed:
                    file.unlink()
    return places

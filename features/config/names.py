"""Names that become parts of file names, web addresses and MLflow's models: of a business, and of a campaign."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

NAME_PATTERN = r"^[^\W_][\w.-]*$"  # in the JSON schema; marks that belong to letters are allowed as well
MOST_BYTES = 200  # in UTF-8: a file name has 255 at most, and suffixes are added


def check_name(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), so that equal names have equal bytes.

    Raises:
        ValueError: It has other characters than letters, digits, '.', '_' and '-', does not begin with a letter or a
            digit, or is too long.

    >>> check_name("online-retail"), check_name("小店_2024")
    ('online-retail', '小店_2024')
    """
    composed = unicodedata.normalize("NFC", name)
    allowed = all(c in "._-" or c.isalnum() or unicodedata.category(c).startswith("M") for c in composed)
    if not composed or not composed[0].isalnum() or not allowed:
        raise ValueError(
            f"expected letters and digits (of any script), '.', '_' and '-', beginning with a letter or a digit, such "
            f"as {_suggestion(composed)!r} (found {name!r})"
        )
    if len(composed.encode()) > MOST_BYTES:
        raise ValueError(f"expected at most {MOST_BYTES} bytes in UTF-8, found {len(composed.encode())}; shorten it")
    return composed


def _suggestion(name: str) -> str:
    """A name near to one that is not allowed."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-._") or "spring-sale"


Name = Annotated[str, AfterValidator(check_name), WithJsonSchema({"type": "string", "pattern": NAME_PATTERN})]

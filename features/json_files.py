"""JSON on disk, and digests of content and of files: the one reader and the one digest of the project."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.errors import DataError


def json_digest(content: Any, length: int = 16) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of JSON-like content; the order of keys does not matter.

    >>> json_digest({"b": 1, "a": [2]}) == json_digest({"a": [2], "b": 1})
    True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:length]


def file_digest(path: Path, length: int = 64) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of a file; raises OSError if it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:length]


def has_digest(folder: Path, part: Mapping[str, Any]) -> bool:
    """Whether a file in a folder has the checksum that was recorded: `part` holds 'file' and 'sha256'."""
    file = folder / part["file"]
    return file.is_file() and file_digest(file) == part["sha256"]


def read_json(path: Path, advice: str) -> Any:
    """The content of a JSON file.

    Args:
        path: The file.
        advice: What the user can do if it cannot be read, such as 'run `regulars plan` again'.

    Raises:
        FileNotFoundError: The file does not exist.
        DataError: It is not complete JSON, or cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as problem:
        raise DataError(f"{path}: cannot be read ({problem.strerror}); {advice}") from None
    except ValueError:
        raise DataError(f"{path}: is not complete JSON: it is half-written or was changed; {advice}") from None


def read_object(path: Path, advice: str) -> dict[str, Any]:
    """The object in a JSON file; arguments and errors as in `read_json`, and DataError if it is no object."""
    content = read_json(path, advice)
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a JSON object, found {type(content).__name__}; {advice}")
    return content

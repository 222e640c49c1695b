"""JSON on disk, and digests of content and of files: the one reader and the one digest of the project.

Documents that Regulars writes hold a checksum of their own content, so a changed one is noticed when it is read.
Documents of earlier versions have none and are read without that check.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.errors import DataError, printable

CHECKSUM, CHECKSUM_DIGITS = "checksum", 64  # the key of a document's checksum, and its hexadecimal digits


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
    name = part.get("file")
    if not isinstance(name, str) or not (folder / name).is_file():
        return False
    return file_digest(folder / name) == part.get("sha256")


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """A document with the checksum of its other keys; a checksum that it had is replaced.

    >>> document = with_checksum({"customers": 2})
    >>> has_valid_checksum(document), has_valid_checksum({**document, "customers": 3})
    (True, False)
    """
    plain = {key: value for key, value in content.items() if key != CHECKSUM}
    return {**plain, CHECKSUM: json_digest(json.loads(json.dumps(plain)), CHECKSUM_DIGITS)}


def has_valid_checksum(content: Mapping[str, Any]) -> bool:
    """Whether a document has no checksum, as those of earlier versions, or the checksum of its content."""
    return CHECKSUM not in content or with_checksum(content)[CHECKSUM] == content[CHECKSUM]


def document_text(
    content: Mapping[str, Any], *, sort_keys: bool = True, ensure_ascii: bool = True, allow_nan: bool = True
) -> str:
    """A document with its checksum, as it is written: the same content gives the same bytes.

    Args:
        content: Keys and values of JSON.
        sort_keys: Whether the keys are written in alphabetical order.
        ensure_ascii: Whether other characters than ASCII are escaped.
        allow_nan: Whether a number may be NaN or infinite, which strict readers of JSON refuse.

    Returns:
        The text.

    Raises:
        ValueError: A number is NaN or infinite, and that is not allowed.
    """
    document = with_checksum(content)
    text = json.dumps(document, indent=1, sort_keys=sort_keys, ensure_ascii=ensure_ascii, allow_nan=allow_nan)
    return text + "\n"


def json_line(content: Mapping[str, Any]) -> str:
    r"""An object as one line of JSON that is safe to print: control characters are escaped as JSON escapes them.

    >>> json_line({"id": "客\x9b\u202e"})
    '{"id": "客\\u009b\\u202e"}'
    """
    text = json.dumps(content, ensure_ascii=False)
    return "".join(c if printable(c) == c else json.dumps(c)[1:-1] for c in text)


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
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: cannot be read (it is no regular file); {advice}")
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as problem:
        raise DataError(f"{path}: cannot be read ({problem.strerror}); {advice}") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: is not complete JSON: it is half-written or was changed; {advice}") from None


def read_object(path: Path, advice: str) -> dict[str, Any]:
    """The object in a JSON file, without its checksum.

    Args:
        path: The file.
        advice: What the user can do if it cannot be read.

    Raises:
        FileNotFoundError: The file does not exist.
        DataError: It is no complete JSON object, cannot be read, or was changed since it was written.
    """
    content = read_json(path, advice)
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a JSON object, found {type(content).__name__}; {advice}")
    if not has_valid_checksum(content):
        raise DataError(f"{path}: was changed since it was written (its checksum differs); {advice}")
    return {key: value for key, value in content.items() if key != CHECKSUM}

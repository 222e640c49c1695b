"""What all models of ours share: files with checksums, feature columns by type, and trees as LightGBM's text.

The modules of this package travel inside registered models, so they import nothing of ours but each other, and that
only by relative imports: a model that was registered earlier runs the copies that it carries (see `pyfunc`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

if TYPE_CHECKING:
    import lightgbm as lgb

INDEX = "bundle.json"


class BundleError(ValueError):
    """A folder is not a model of ours, a file differs from what was written, or a feature table does not fit."""


def digest_of(content: Any) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of some content as JSON.

    >>> digest_of({"slope": 1.0})
    '8bd43e2913c04048'
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def checksum(text: str) -> str:
    """The SHA-256 of a text in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_model(folder: Path, index: Mapping[str, Any], texts: Mapping[str, str]) -> Path:
    """Writes bundle.json and the other files of a model.

    Args:
        folder: Where to; it is created if needed.
        index: The content of bundle.json.
        texts: The other files' content by name.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / INDEX).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return folder


def read_model(
    folder: Path, file_format: int, *, model: str, needs_digest: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """Reads and checks what `write_model` wrote.

    Args:
        folder: Of the model.
        file_format: The only format that is accepted.
        model: What the folder should hold, for messages, such as 'a model'.
        needs_digest: Whether bundle.json must hold a digest of its own content; where there is one, it is checked.

    Returns:
        The content of bundle.json without format, digest and checksums, and the other files' content by name.

    Raises:
        BundleError: A file is missing, has another format, or differs from what was written.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        texts = {name: (folder / name).read_text(encoding="utf-8") for name in dict(index["checksums"])}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BundleError(f"{folder} is not {model} of regulars: {problem}") from None
    if index.get("format") != file_format:
        raise BundleError(f"{folder}: made by another version of regulars; expected format {file_format}")
    digest = index.pop("digest", None)
    if (needs_digest or digest is not None) and digest != digest_of(index):
        raise BundleError(f"{folder / INDEX} is not the file that was written: its digest differs")
    index.pop("format")
    for name, expected in index.pop("checksums").items():
        if expected != checksum(texts[name]):
            raise BundleError(f"{folder / name} is not the file that was written: its checksum differs")
    return index, texts


@contextmanager
def as_bundle_errors(folder: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a model is made from a bundle.json into a BundleError."""
    try:
        yield
    except BundleError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as problem:
        raise BundleError(
            f"{folder / INDEX} does not describe a model ({type(problem).__name__}: {problem}): it was changed"
        ) from None


def check_types(model: Any) -> None:
    """Check that each field of a dataclass, and of those inside, holds what its annotation says.

    Raises:
        TypeError: A field holds something else.
    """
    for name, kind in get_type_hints(type(model)).items():
        value = getattr(model, name)
        if not _fits(value, kind):
            raise TypeError(f"{name} of a {type(model).__name__} is {type(value).__name__}, expected {kind}")


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type: a plain one, a dataclass, a union, or a tuple or mapping of such."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is tuple:
        ends = len(inner) == 2 and inner[1] is Ellipsis
        kinds = inner[:1] * len(value) if ends and isinstance(value, tuple) else inner
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if origin is not None:
        keys, values = inner if len(inner) == 2 else (Any, Any)
        return isinstance(value, origin) and all(_fits(k, keys) and _fits(v, values) for k, v in value.items())
    if kind is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if not isinstance(value, kind):
        return False
    if is_dataclass(value):
        check_types(value)
    return True


def feature_table(features: Any, names: Sequence[str], model: str) -> pa.Table:
    """A feature table in Arrow, checked for the columns that a model needs.

    Args:
        features: A feature table (n rows), in Arrow or pandas.
        names: The columns that the model needs.
        model: The model's name in messages, such as "churn model 'shop'".

    Returns:
        The table (n rows) with all of its columns.

    Raises:
        BundleError: A column is missing.
    """
    table = features if isinstance(features, pa.Table) else pa.Table.from_pandas(features, preserve_index=False)
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise BundleError(
            f"the {model} needs {len(names)} feature columns; {len(missing)} are missing: {', '.join(missing[:5])}"
        )
    return table


def plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without dictionary encoding.

    >>> plain_column(pa.chunked_array([["a", "b"]]).dictionary_encode()).type
    DataType(string)
    """
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def read_trees(text: str) -> lgb.Booster:
    """Trees from LightGBM's text.

    Raises:
        BundleError: The text is not LightGBM's.
    """
    import lightgbm as lgb  # imported late: it takes a second, and readers of scores need no trees

    try:
        return lgb.Booster(model_str=text)
    except lgb.basic.LightGBMError as problem:
        raise BundleError(f"the trees of a model are not LightGBM's: {problem}") from None

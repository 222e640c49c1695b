"""Files and databases as raw rows."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "databases": ["list_tables", "read_database"],
        "files": ["file_format", "find_files", "require_utf8"],
        "postgres": ["Cursor", "explain_error", "write_transaction"],
        "source": ["Source", "VARIABLE_NAME", "require_columns", "require_personal"],
    },
)

"""Files and databases as raw rows."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "csv_counts": ["drop_rejects"],
        "csv_reader": ["CsvColumns", "CsvPlace", "IGNORED", "read_csv_files"],
        "databases": ["list_tables", "read_database"],
        "duckdb_query": ["QueriedTable", "align_types", "parse_query"],
        "files": [
            "DAMAGE_ADVICE",
            "FilesRead",
            "data_format",
            "display_name",
            "file_format",
            "find_files",
            "missing_column_notes",
            "name_files",
            "note_files_not_read",
            "require_columns_of_files",
        ],
        "listed_values": ["read_listed_values"],
        "parquet_files": [
            "FIRST_INEXACT_INTEGER",
            "ParquetFiles",
            "by_schema",
            "damaged_file",
            "fields_to_cast",
            "fields_to_drop",
            "parquet_sql",
            "read_footers",
        ],
        "postgres": ["Cursor", "explain_error", "write_transaction"],
        "query": ["quoted_texts", "require_one_select", "without_semicolon"],
        "source": ["Source", "VARIABLE_NAME", "require_columns", "require_personal", "suggest_column"],
    },
)

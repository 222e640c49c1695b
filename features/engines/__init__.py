"""Where expressions run: DuckDB in this process, or Spark; and windows of time on both."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "base": ["ASCII_BLANK", "Engine", "NOT_BLANK", "megabytes", "take_share"],
        "open": ["open_engine"],
        "spark": ["SparkEngine"],
        "spark_files": ["escaped_path"],
        "spark_session": ["SPARK_ERRORS"],
        "window_spec": ["EVER", "Span", "WindowMeasure", "WindowSpec"],
        "window_totals": ["EPOCH"],
    },
)

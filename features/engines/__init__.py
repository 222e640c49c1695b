"""Where expressions run: DuckDB in this process, or Spark; and windows of time on both."""

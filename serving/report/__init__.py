"""The self-contained HTML report for analysts."""

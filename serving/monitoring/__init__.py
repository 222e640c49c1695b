"""Data quality, drift, performance and alerts for a scored cutoff."""

"""The data audit: what `regulars check` reports."""

"""Files and databases as raw rows."""

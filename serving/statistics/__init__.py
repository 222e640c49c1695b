"""Statistics as pure functions: shares, drift, treatment effects, expected performance."""

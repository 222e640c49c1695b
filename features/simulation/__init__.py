"""A simulated business together with the truth about it."""

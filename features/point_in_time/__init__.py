"""History before a cutoff and labels after it: the only place that compares times with a cutoff."""

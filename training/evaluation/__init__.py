"""How good predictions are: metrics with intervals, baselines, fairness, plots."""

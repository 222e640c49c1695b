"""MLflow: runs, registered models, aliases, promotion gates, model cards."""

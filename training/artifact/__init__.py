"""The files that travel inside a registered model; they import nothing of ours."""

"""Every feature, one module a family, each with the phrase that explains it."""

"""Exact contributions of features, in probability and in money, and what-if changes."""

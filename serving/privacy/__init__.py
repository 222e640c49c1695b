"""Forgetting a customer: finding every mention and removing it."""

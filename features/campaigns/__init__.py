"""Contacts, measured plans, and the data set from which the effects of actions are learned."""

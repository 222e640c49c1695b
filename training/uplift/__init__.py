"""The effects of actions: learned from randomised contacts, evaluated, registered."""

"""The nightly chain, step by step, with its state."""

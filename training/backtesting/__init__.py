"""The whole procedure repeated at past cutoffs, and learning curves."""

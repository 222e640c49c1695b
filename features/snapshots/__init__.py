"""Features and labels at many cutoffs, with their cache and the proof that none of them leaks."""

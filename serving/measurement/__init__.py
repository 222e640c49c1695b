"""What an executed plan changed, with confidence intervals."""

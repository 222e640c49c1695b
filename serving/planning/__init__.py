"""Who gets which action within a budget, and who is held out."""

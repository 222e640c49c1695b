"""What models are fitted on: splits in time, category levels, predictions."""

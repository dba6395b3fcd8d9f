"""The run folder, and a trained model from it."""

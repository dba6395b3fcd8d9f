"""The loop, its steps, checkpoints, the optimiser, batches."""

"""A request from its admission to its answer, whatever brought it."""

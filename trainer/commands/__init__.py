"""One module a command: `run(options)` does its work and prints its result."""

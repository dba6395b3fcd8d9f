"""What `make bench` measures: a module each, whose `measure` gives `tests.bench.report.Measure`s."""

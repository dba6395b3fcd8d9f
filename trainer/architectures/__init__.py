"""What is one model's own: its settings, sizes, published weights, depths; a module each, a row each in `table`."""

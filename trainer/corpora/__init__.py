"""Plain text for pretraining: once read into shards of tokens on disk, from which batches of any size are drawn."""

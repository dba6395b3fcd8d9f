"""What the server tells of itself and of its requests: metrics, logs, profiles."""

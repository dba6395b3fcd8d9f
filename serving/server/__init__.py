"""Serves SavedModels over TensorFlow Serving's gRPC and REST APIs; `python -m serving.server` is the command."""

"""Pretraining of BERT and of language models on JAX, from a folder that was prepared here, on a machine that has neither TensorFlow nor the text."""

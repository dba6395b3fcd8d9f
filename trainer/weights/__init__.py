"""Weights by name; Google's and Hugging Face's forms."""

"""The models, their versions, and what runs one version."""

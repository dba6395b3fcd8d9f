"""Requests that wait run as one batch."""

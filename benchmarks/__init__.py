"""Measurements of time and accuracy: `python -m benchmarks.NAME` from the repository's root."""

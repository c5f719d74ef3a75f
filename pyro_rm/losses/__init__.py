"""Losses that score energy-based sites without a partition function."""

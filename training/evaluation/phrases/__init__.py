"""Phrases whose answer is known for a radiograph: what they ask, and where it is."""

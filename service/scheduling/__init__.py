"""Admission control and dynamic batching."""

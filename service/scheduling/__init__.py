"""Admission control and dynamic batching: who is let in, and what runs together."""

"""The pre-training task."""

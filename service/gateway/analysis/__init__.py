"""Analysis: queued instances are sent to the service, and its results kept."""

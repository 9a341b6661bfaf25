"""The in-memory model registry: loaded versions, routing of aliases, and leases."""

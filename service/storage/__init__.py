"""Databases, and files that only the user of the service can read."""

"""Durable state of the jobs: SQL tables and spooled bodies."""

"""Durable state of jobs: SQL tables and spooled bodies."""

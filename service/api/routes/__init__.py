"""Endpoints, one file for each resource: parse, call the data plane, respond."""

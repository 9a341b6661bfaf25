"""Traces of requests: their interface, OpenTelemetry, and set-up from the environment."""

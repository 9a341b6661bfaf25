"""Prometheus metrics of the service and of the gateway."""

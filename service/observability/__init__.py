"""Observer interface, Prometheus metrics, traces and JSON logs.

Only these modules import the SDKs of Prometheus and OpenTelemetry.
"""

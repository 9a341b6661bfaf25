"""Observer interface, Prometheus metrics, traces and JSON logs.

Only this room imports the libraries for metrics and traces.
"""

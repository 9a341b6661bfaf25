"""Commands of whoever runs the service: the service, its keys, its audit log, the gateway."""

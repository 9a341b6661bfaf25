"""The HTTP face of the service: the only package that imports the web framework."""

"""Triton as a backend: client, shared memory and rendered model repository."""

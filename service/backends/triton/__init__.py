"""Triton as a backend: client, shared memory, and the model repository rendered for it."""

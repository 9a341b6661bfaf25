"""Untrusted zip archives, read without unpacking them."""

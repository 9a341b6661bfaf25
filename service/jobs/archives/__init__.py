"""Untrusted zip archives, read in place without unpacking them."""

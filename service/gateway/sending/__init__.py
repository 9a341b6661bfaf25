"""Sending: results to peers by C-STORE and STOW-RS, until each is delivered or given up."""

"""Receiving: instances by C-STORE and STOW-RS, taken or refused within bounds."""

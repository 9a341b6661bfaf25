"""Optimiser, learning rate, clipping and scaling of gradients, and their precision."""

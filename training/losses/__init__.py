"""Losses: image-report contrast, the pseudo mask, and segmentation."""

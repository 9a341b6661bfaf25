"""Postprocessing: raw model outputs become findings, masks, boxes, heat maps in source pixels."""

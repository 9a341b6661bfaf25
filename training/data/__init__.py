"""Data sets: rows of radiograph tables, cached once on the model's grid.

tables (CSV + images) -> cache (uint8 grids and mask bits) -> augment -> a batch
sentences: synthetic reports from labels;  phrases: what a grounding phrase means
"""

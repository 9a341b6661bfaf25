"""Checkpoints in the layout of the released G2D code: into a run of ours, and out of one.

file -> reading -> layout -> importing -> runs/NAME/last.ckpt, config.yaml
run  -> exporting -> layout -> file
"""

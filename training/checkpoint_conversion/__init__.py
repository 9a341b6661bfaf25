"""Conversion of checkpoints between the released G2D code and runs of this project.

file -> safe_loading -> layout -> from_released -> runs/NAME/last.ckpt, config.yaml
run  -> to_released  -> layout -> file
"""

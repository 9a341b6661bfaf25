"""Masks, boxes and shapes of structures, and the codes that store them.

masks mask_planes     masks on the model's grid; any number of structures as bits
shapes                shapes drawn on a radiograph
siim_rle              run-length codes of the SIIM-ACR data set
"""

"""Random changes of training images, with their masks and boxes.

augment warp      geometry, and the images, masks and boxes that follow it
appearance        differences between hospitals, devices and exports
draws             random numbers for each image
"""

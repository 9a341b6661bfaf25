"""Evaluators of the heads: figures are kept image by image, images are not.

Prediction --add--> classification | segmentation | detection | grounding
    --figures--> Figure --metric--> Metric
"""

"""What is measured of each head: figures are kept image by image, never the images.

Seen --add--> findings | masks | boxes | grounding --metrics--> Metric with its interval
"""

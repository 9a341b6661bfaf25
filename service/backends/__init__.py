"""What runs the graphs of a model version: one file for each runtime."""

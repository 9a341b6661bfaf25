"""Runtimes that execute the graphs of a model version, one room for each."""

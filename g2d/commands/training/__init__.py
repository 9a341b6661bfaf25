"""Commands from data set to published version, which need the training code."""

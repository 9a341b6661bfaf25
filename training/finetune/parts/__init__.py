"""Trainings of one part alone, on a trunk and heads that stay as they are.

checks   warnings about the pixels, on maps of the trunk
words    the text encoder, so that it knows more wordings
"""

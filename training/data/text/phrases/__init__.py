"""Wordings of concepts for phrase grounding.

grounding_phrases   concepts and the wordings that heads learn with images
foreign_phrases     phrases for what no chest radiograph shows
wordings            lists of further wordings, which the text encoder learns without images
paraphrases         what each of them means
unseen_wordings     wordings to choose by and to measure with, which nothing learns
"""

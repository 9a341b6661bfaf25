"""Lists of wordings and what they mean, for the text encoder to learn without images."""

"""`g2d models`: the model repository."""

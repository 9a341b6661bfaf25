"""Task heads: one file per head, with its network, labels, targets, losses and manifest entry.

    trunk features -> head -> raw outputs -> losses (training)
                                          -> graph and manifest entry (export)

To add a head, add a file here, or in `detectors`, with a subclass of
`training.heads.head.TrainableHead`. The registry finds it; training, evaluation, export and
publishing read what they need from the class. The head of the checks is trained on its own, on
pictures that are made for it.
"""

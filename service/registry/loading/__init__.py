"""Loading of versions: a trial in a process of its own, the choice of variant, reference counts."""

"""Detection heads: one file per head, with its network, targets and losses."""

"""Names of what models find: codes of findings and structures, labels, checks of the pixels."""

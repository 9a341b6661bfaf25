"""Import of a published version as a run, from which training goes on."""

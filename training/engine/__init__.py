"""The trainer: loop, optimiser, checkpoints, model selection, loggers and distributed launch."""

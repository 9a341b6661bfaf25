"""The training engine: loop, optimiser, checkpoints, model selection, loggers, processes.

task (data, losses) + configuration -> trainer -> checkpoint, history, experiment loggers
"""

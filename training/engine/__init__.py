"""The training engine: loop, checkpoints, model selection, loggers, processes.

task (data, losses) + configuration -> trainer -> checkpoint, history, experiment loggers
                                       optimisation: optimiser, learning rate, clipping
"""

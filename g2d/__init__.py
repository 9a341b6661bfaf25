"""The roof: the command `g2d`.

    g2d -> cli.Commands -> the module of one sub-command -> service or training

Importing this package, or any module in it, loads neither a runtime nor a web framework nor
torch: each sub-command imports its side within its function.
"""

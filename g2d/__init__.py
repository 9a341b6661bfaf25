"""The command line `g2d`, the only package that imports both the service and the training code.

    g2d -> cli.Commands -> the module of one sub-command -> service or training

Importing this package, or any module in it, loads neither a runtime nor a web framework nor
torch: each sub-command imports what it needs inside its function.
"""

"""The sub-commands of `g2d`, each imported when it is called (`g2d.cli.COMMANDS`)."""

"""The model repository on disk: verify, publish, alias and roll back versions."""

"""Every configuration schema, and how YAML becomes one; imports no torch."""

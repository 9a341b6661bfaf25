"""Storage: spooled files, and the journal of what was received, made and delivered."""

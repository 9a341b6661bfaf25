"""Publication: an evaluated and exported run becomes a version in the repository, through gates."""

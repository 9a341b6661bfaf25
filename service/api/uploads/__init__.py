"""HTTP bodies, received within limits: one radiograph in memory, the body of a job on disk."""

"""HTTP bodies become bytes or spool files, within limits."""

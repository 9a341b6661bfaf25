"""Pages of experiment tables: our figures beside published ones, as Markdown and CSV."""

"""AnalysisResult -> bytes: one file for each format. No HTTP, no runtime."""

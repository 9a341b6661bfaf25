"""Encoders of analysis results, one for each output format; they know no HTTP and no runtime."""

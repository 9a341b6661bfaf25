"""Text of a row: report sections, synthetic reports, phrases and prompts."""

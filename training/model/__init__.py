"""The G2D model: image encoder, U-Net decoder, attention pool, text encoder, projections, heads."""

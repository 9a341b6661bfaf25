"""`g2d predict`: what it reads, and what it writes."""

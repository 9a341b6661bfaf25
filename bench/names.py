"""Names of what is compared, as tables and plots show them."""

OURS = "this service"
TORCH = "FastAPI + torch"
LITSERVE = "LitServe"
MLSERVER = "MLServer"
SINGLE, BATCH, LANES = "bare runtime, single", "bare runtime, batch", "bare runtime, lanes"
DECODING = "bare runtime, lanes that decode"
BARE = (SINGLE, BATCH, LANES)
BEST = "bare runtime, best"
"""Of BARE, the loop whose median is highest."""

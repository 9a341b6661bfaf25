"""Names of what is compared, as tables and plots show them."""

OURS = "this service"
TORCH = "FastAPI + torch"
TORCH_ENCODER = "FastAPI + torch, encoder only"
LITSERVE = "LitServe"
MLSERVER = "MLServer"
SINGLE, BATCH, LANES = "bare runtime, single", "bare runtime, batch", "bare runtime, lanes"
BARE = (SINGLE, BATCH, LANES)
CUT = "bare runtime, lanes cut as here"
DECODING = "bare runtime, lanes cut as here that decode"
LOOPS = (*BARE, CUT, DECODING)
BEST = "bare runtime, best"
"""Of BARE, the loop whose median is highest."""

"""Upper bounds of the buckets of histograms: seconds, sizes and statistics of the model."""

REQUEST_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30)
STAGE_S = (0.0005, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
PROBABILITY = tuple(round(0.1 * step, 1) for step in range(1, 10))
MODEL_INPUT = (-2, -1.5, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.5, 2)
SPREAD = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.5, 2)
DISTANCE = (0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 6, 10)
DIFFERENCE = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1)

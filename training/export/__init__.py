"""Export of PyTorch models to ONNX, with the proof of parity."""

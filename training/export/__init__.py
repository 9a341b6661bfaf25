"""Export of a run to ONNX, and the checks that its graphs agree with PyTorch."""

"""ONNX Runtime in this process as a backend."""

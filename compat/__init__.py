"""What others wrote, brought along: PyTorch's programs, its checkpoints, ONNX files. Nothing else here depends on it."""

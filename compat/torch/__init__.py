"""PyTorch's names with PyTorch's meaning, on weft's arrays: `from weft.compat import torch`."""

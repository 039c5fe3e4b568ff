"""ONNX out and in: a model is written as a graph, and a graph becomes a Module that trains."""

from .exporting import export
from .load import load, supported_operators

__all__ = ["export", "load", "supported_operators"]

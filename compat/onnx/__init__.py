"""ONNX out and in: a model is written as a graph, and a graph becomes a Module that trains."""

from .load import load, supported_operators

__all__ = ["load", "supported_operators"]

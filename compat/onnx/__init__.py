"""ONNX out and in: a model is written as a graph, and a graph becomes a Module that trains."""

"""Measurements: `weft bench` of models, operations and kernels; `pytest bench` runs the pytest-benchmark suites."""

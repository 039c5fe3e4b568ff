"""Measurements: `weft bench` of models, operations and kernels; `pytest tests/bench/steps.py` is the pytest-benchmark suite."""

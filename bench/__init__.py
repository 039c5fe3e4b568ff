"""Measurements: `weft bench` compares with PyTorch in one process; `pytest bench` runs the pytest-benchmark suites."""

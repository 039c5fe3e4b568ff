"""Tensors, the record of what was done with them, and the way gradients take back through it."""

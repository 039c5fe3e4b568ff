"""Where arrays live and what computes there: dtypes, devices, memory, threads. Nothing here knows of Tensors."""

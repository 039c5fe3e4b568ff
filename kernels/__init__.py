"""Every CUDA kernel, with its launcher, the compiler and the emulator. Nothing here knows of Tensors."""

"""How kernels are named, compiled, cached, launched and reported on, and the libraries that are called beside them."""

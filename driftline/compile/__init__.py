"""Compiling kernels ahead of the first message, and numba's cache of them."""

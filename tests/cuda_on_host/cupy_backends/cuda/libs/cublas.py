"""Loads the stand-in for cuBLAS, as the import of CuPy's module loads the library."""

from cupy._libraries import provide

provide("cublas", "libcublas.so.13")

"""Loads the stand-in for cuSPARSE, as the import of CuPy's module loads the library."""

from cupy._libraries import provide

provide("cusparse", "libcusparse.so.12")

"""CuPy's road to NVIDIA's libraries."""

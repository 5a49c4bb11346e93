"""The libraries of NVIDIA that CuPy loads, as far as the engine calls them by ctypes."""

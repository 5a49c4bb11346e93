"""Nets and weights from one format to another.

Weights: caffemodels, HDF5, npz, safetensors, packed files. Nets with their weights: ONNX.
"""

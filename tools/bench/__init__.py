"""What the benchmarks share: nets, contestants, and the processes that let them take turns."""

"""What the kernels of convolutions and inner products have in common, and how AUTO chooses."""

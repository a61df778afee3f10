"""What one operator costs: FLOPs, bytes moved, and the memory that its kernel takes besides its tensors."""

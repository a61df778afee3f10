"""What layers execute, as operators and as programs on a tape: the lowest storey."""

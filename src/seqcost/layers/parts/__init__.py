"""Pieces of layers: norms, heads, feed-forward, positions."""

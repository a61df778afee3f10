"""Pieces of layers, and the contract that all layers keep."""

"""Layers in series, residual blocks, whole models."""

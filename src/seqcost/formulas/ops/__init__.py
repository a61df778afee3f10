"""Engines of the formulas that have a twin among the layers: scans, gated linear attention, block attention."""

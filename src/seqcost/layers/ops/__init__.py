"""Functional engines: scans, gated linear attention, block attention; state in, state out."""

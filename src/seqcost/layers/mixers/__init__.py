"""One file an architecture: what mixes positions."""

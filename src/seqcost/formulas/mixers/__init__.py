"""One file per architecture: what mixes positions."""

"""Components in series, blocks, whole models and published presets."""

"""Models of the transformers package: built from a configuration, given words, images and sounds; their caches."""

"""The pieces of which architectures are made."""

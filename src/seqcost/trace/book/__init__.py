"""The book of a run: every operator with its module, every block of memory from its coming to its going."""

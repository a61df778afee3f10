"""What must hold of a sequence model whatever its formula, and how an arbitrary module is called."""

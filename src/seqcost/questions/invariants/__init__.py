"""What must hold of a sequence model whatever its formula, and how a module of anyone's making is called."""

"""What every layer is written with: the contract, the state, precision, loops of open length."""

"""What every formula is written with: the contract of a component, the tape, the sizes of a run, operation counts."""

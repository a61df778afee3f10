"""The claims that circulate: for each what is asked of formulas and runs, and the rule that reads a verdict off it."""

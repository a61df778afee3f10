"""Equal layers are followed a few times and multiplied, where it is shown that all are equal.

stacks       layers of a module with the same code, settings and shapes
code         whether code has a memory: what it may change besides its own results
calls        what a layer is given and what it gives back, without holding any of it
skipping     a run in which the inner layers of a stack hand on what they are given
naming       what one layer did, in words that hold for each of its equals
repeats      the tape of such a run with the inner layers put in
"""

"""Single kernels, timed: what a machine's profile is made of. Importing this loads no torch.

case          which kernel, of which sizes, in which format   products      the table's matrix products
others        all other kernels of the table                  calls         a case made runnable
models        small models, run whole                   between       what runs between two launches that are timed
clock         how long one launch takes, on CPU and CUDA      facts         what belongs to no kernel
"""

from seqcost.measure.kernels.case import Case as Case

__all__ = ["Case"]

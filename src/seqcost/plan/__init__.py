"""What fits, and what it costs to make it fit: the largest size within a limit, the choices worth a look. No torch."""

from seqcost.plan.front import Choice as Choice
from seqcost.plan.front import front as front
from seqcost.plan.search import Largest as Largest
from seqcost.plan.search import largest as largest

__all__ = ["Choice", "Largest", "front", "largest"]

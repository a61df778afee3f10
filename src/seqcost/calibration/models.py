"""What a calibration's own models teach of its kernels: how much longer they take in a model than alone.

The models are small and of PyTorch's parts, see `measure.kernels.models`; none is what users ask about. Each part of
their time has a factor in common, learnt as from runs on record: one that was never seen is judged by all others.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seqcost.algebra.work import Beside, Direction, Kernel, Row
from seqcost.calibration.from_records import Evidence
from seqcost.machines import Machine
from seqcost.prediction.learnt import parts_of
from seqcost.prediction.work import timed


def evidence(told: Iterable[Mapping[str, Any]], machine: Machine, dtype: str) -> Iterator[Evidence]:
    """Each run of a model beside what the kernels of the machine say of it."""
    for one in told:
        found = timed(
            rows_of(one),
            machine,
            dtype,
            training=one["phase"] == "train",
            peak_bytes=one["peak_bytes"],
            resident_bytes=one["peak_bytes"],  # that process keeps all memory, see measure.kernels.timing
            beside=Beside(**one["beside"]),
        )
        yield Evidence(
            target=one["model"],
            phase=one["phase"],
            measured_s=one["seconds"],
            parts=parts_of(found),
            predicted_s=found.seconds.mid,
            spread=found.spread_of_parts,
        )


def rows_of(told: Mapping[str, Any]) -> list[Row]:
    """The rows of work of a run as they were told."""
    return [
        Row(**{**fields, "kernel": Kernel(fields["kernel"]), "direction": Direction(fields["direction"]),
               "sizes": tuple(fields["sizes"])})
        for fields in told["rows"]
        if fields["launches"]
    ]  # fmt: skip

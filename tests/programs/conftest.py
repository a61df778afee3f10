"""The fixtures of all rooms that trace."""

from traced_peaks import measured_peak, peaks, two_threads  # noqa: F401

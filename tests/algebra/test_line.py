"""Kinds and their units."""

import dataclasses

import pytest

from seqcost.algebra import Kind, Line


def test_every_kind_has_a_unit():
    assert {kind: kind.unit for kind in Kind} == {
        Kind.CONTRACTION: "FLOP",
        Kind.POINTWISE: "FLOP",
        Kind.PARAMETERS: "scalar",
        Kind.TRAFFIC: "byte",
        Kind.SAVED: "byte",
        Kind.STATE: "byte",
        Kind.DEPTH: "step",
        Kind.PATH: "step",
    }


def test_a_line_does_not_change():
    line = Line("scores", 12, Kind.CONTRACTION)
    with pytest.raises(dataclasses.FrozenInstanceError):
        line.amount = 13

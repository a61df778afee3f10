"""Arguments that are not what their types say, over every parameter of the public functions: answered or refused."""

import inspect
import sys

import pytest
import torch
from torch import nn

import seqcost
from seqcost import layers
from seqcost.errors import BadSize, BadTarget, SeqcostError, UnknownName

SMALL = {"D": 8, "L": 1, "U": 16}
LAYERS = sorted(
    name
    for name in layers.__all__
    if isinstance(kind := getattr(layers, name), type)
    and issubclass(kind, layers.Layer)
    and not inspect.isabstract(kind)
    and "blocks" not in inspect.signature(kind).parameters  # made of layers, not of sizes
)


def linear():
    return nn.Linear(4, 4)


counted = seqcost.count("lstm", length=4, sizes=SMALL)

# function: what else it is given, by name
CALLS = {
    "count": (seqcost.count, lambda: {"target": "lstm", "length": 4, "sizes": SMALL}),
    "count a module": (seqcost.count, lambda: {"target": linear(), "length": 4}),
    "diff": (seqcost.diff, lambda: {"a": "lstm", "b": "gru", "length": 4, "sizes": SMALL}),
    "letters": (seqcost.letters, lambda: {"target": "lstm", "letters": "D", "length": 4, "sizes": SMALL}),
    "explain": (seqcost.explain, lambda: {"name": "lstm"}),
    "compare": (seqcost.compare, lambda: {"targets": ["rnn"], "lengths": [4], "sizes": SMALL, "trace": False}),
    "check": (seqcost.check, lambda: {"target": linear(), "length": 12}),
    "configure": (seqcost.configure, lambda: {"name": "lstm"}),
    "build": (layers.build, dict),
    "by": (counted.by, lambda: {"way": "line"}),
    "explain a number": (counted.derive, lambda: {"quantity": "flops"}),
    "Workload": (seqcost.Workload, dict),
    "sweep": (seqcost.sweep, lambda: {"values": [1, 2]}),
}
CASES = [
    (name, parameter.name)
    for name, (function, _) in CALLS.items()
    for parameter in inspect.signature(function).parameters.values()
    if parameter.kind is not parameter.VAR_KEYWORD
]


def wrong():
    return [5, 1.5, "word", b"word", [1], {"a": 1}, {1}, object(), linear(), torch.zeros(2), lambda *_: 0, float("nan")]


def one_sentence(call, *args, **named):
    """Whatever happens, it is no error of another's making."""
    try:
        call(*args, **named)
    except SeqcostError as error:
        said = str(error)
        assert "\n" not in said
        assert said.rstrip().endswith((".", "?"))


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_any_value_is_answered_or_refused(name, parameter):
    function, rest = CALLS[name]
    positional = inspect.signature(function).parameters[parameter].kind is inspect.Parameter.POSITIONAL_ONLY
    for value in wrong():
        if parameter == "on_start" and callable(value):
            continue  # a function's own errors are its own
        given = rest() | {parameter: value}
        one_sentence(function, *([given.pop(parameter)] if positional else []), **given)


@pytest.mark.parametrize("name", LAYERS)
def test_any_size_of_a_layer_is_answered_or_refused(name):
    kind = getattr(layers, name)
    for value in [None, *wrong()]:
        one_sentence(kind, value)
        for letter in ("D", "U", "L", "H", "mixer"):
            one_sentence(kind, **{"D": 8, letter: value})


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: seqcost.count("lstm", sizes=5), BadSize, r"^sizes = 5 was given; a mapping of letters or words"),
        (lambda: seqcost.count("lstm", sizes="D=5"), BadSize, "sizes = 'D=5' was given; a mapping"),
        (lambda: seqcost.count("lstm", sizes={5: 5}), BadSize, "a mapping of letters or words"),
        (lambda: seqcost.count("lstm", dtype=["float32"]), UnknownName, "unknown dtype"),
        (lambda: seqcost.count("lstm", dtype="flaot16"), UnknownName, "did you mean float16"),
        (lambda: seqcost.count("lstm", trace="no"), BadTarget, "trace = 'no' was given; True or False"),
        (lambda: seqcost.count("lstm", strict="yes"), BadTarget, "strict = 'yes' was given"),
        (lambda: seqcost.diff("lstm", "gru", sizes_b=[1]), BadSize, r"sizes_b = \[1\] was given; a mapping"),
        (lambda: seqcost.letters("lstm", 3), BadSize, "letters = 3 was given; auto, LETTER=SETTING"),
        (lambda: seqcost.letters("lstm", length=[8, 16]), BadSize, r"length = \[8, 16\] was given.*one whole number"),
        (lambda: seqcost.letters("lstm", counted=[]), BadTarget, "at least one"),
        (lambda: seqcost.explain(["lstm"]), UnknownName, "unknown architecture or preset"),
        (lambda: seqcost.compare(["rnn"], lengths=1.5), BadSize, "lengths = 1.5 was given; a whole number"),
        (lambda: seqcost.compare(["rnn"], lengths="12.8"), BadSize, "lengths '12.8' was given; a whole number"),
        (lambda: seqcost.compare(["rnn"], lengths=[8], text=5), BadTarget, "text = 5 was given; the path of a file"),
        (lambda: seqcost.compare(["rnn"], lengths=[8], threads=0), BadSize, "threads = 0 was given"),
        (lambda: seqcost.check(linear(), length="4.8"), BadSize, "length '4.8' was given; a whole number"),
        (lambda: seqcost.check(linear(), batch=1.5), BadSize, r"batch = 1\.5 was given; a whole number"),
        (lambda: seqcost.check(linear(), tolerance="high"), BadSize, "tolerance = 'high' was given; a number above 0"),
        (lambda: seqcost.check(linear(), inputs=[1]), BadTarget, "a check carries a tensor on"),
        (lambda: seqcost.Workload(T=None), BadSize, "T = None was given; a whole number"),
        (lambda: seqcost.sweep(5), BadSize, "5 was given for a sweep; whole numbers"),
        (lambda: seqcost.sweep(["a"]), BadSize, "was given for a sweep"),
        (lambda: layers.LanguageModel(mixer=None), UnknownName, "unknown mixer"),
        (lambda: layers.LanguageModel("mamba"), BadSize, r"LanguageModel: 'mamba' was given.*LanguageModel\(mixer="),
        (lambda: layers.Classifier("lstm"), BadSize, r"Classifier: 'lstm' was given.*Classifier\(mixer="),
        (lambda: layers.LanguageModel(seqcost.configure("lstm-layer")), BadSize, "a config of it, or a mixer"),
        (lambda: layers.LanguageModel(seqcost.configure("lstm"), L=2), BadSize, "a config and L were given"),
        (lambda: layers.LanguageModel(seqcost.configure("lstm"), mixer="gru"), BadSize, "a config and mixer were"),
        (lambda: layers.build("lstm"), BadTarget, "'lstm' was given to build; a config is allowed"),
        (lambda: counted.derive("flops", 5), UnknownName, "path = 5 was given; the path of a module or line"),
        (lambda: layers.Gru(D=None), BadSize, "D = None was given; a whole number"),
        (lambda: layers.Mamba(D=[8]), BadSize, r"\[8\] was given; a whole number"),
    ],
)  # fmt: skip
def test_a_sentence_says_what_is_allowed(call, error, says):
    with pytest.raises(error, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_config_by_itself_makes_its_model():
    assert isinstance(layers.LanguageModel(seqcost.configure("lstm", **SMALL)), layers.Layer)


MAKERS = """
import torch
from torch import nn

def by_length(length):
    return nn.Linear(8, 8), (torch.zeros(3, length, 8),)

def time_first(T=5):
    return nn.LSTM(8, 8), (torch.zeros(T, 2, 8),)

def without_inputs(length):
    return nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
"""


@pytest.fixture
def makers(tmp_path, monkeypatch):
    (tmp_path / "made_by_length.py").write_text(MAKERS)
    monkeypatch.chdir(tmp_path)
    yield "made_by_length:"
    sys.modules.pop("made_by_length", None)


def test_a_callable_is_given_the_length_that_it_takes(makers):
    """B is that of the inputs that it makes, T the length that was asked for."""
    short, long = seqcost.count(makers + "by_length", length=[8, 20])
    assert [(c.sizes["B"], c.sizes["T"], c.flops) for c in (short, long)] == [
        (3, T, 2 * 3 * T * 8 * 8) for T in (8, 20)
    ]
    assert str(short.polynomials["flops"]) == "384·T"
    assert seqcost.count(makers + "by_length", length=8, batch=3).flops == short.flops
    with pytest.raises(BadSize, match="B = 2 was asked of Linear"):
        seqcost.count(makers + "by_length", length=8, batch=2)
    recurrent = seqcost.count(makers + "time_first", length=11)
    assert (recurrent.sizes["B"], recurrent.sizes["T"]) == (2, 11)
    own = seqcost.count(makers + "without_inputs", length=7, batch=5)
    assert own.flops == 2 * 2 * 5 * 7 * 8 * 8

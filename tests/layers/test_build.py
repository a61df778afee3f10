"""From a config to its layer."""

import pytest
import torch

from seqcost.errors import SeqcostError
from seqcost.formulas.catalogue import CATALOGUE, configure
from seqcost.formulas.mixers.lstm import Lstm as Formula
from seqcost.layers import LanguageModel, Layer, Lstm, Mamba2, MinGru, build
from seqcost.layers.build import TWINS

PARTS = {found.config for found in CATALOGUE.values() if found.group in ("mixer", "part")}


def test_every_mixer_and_part_of_the_catalogue_has_a_twin():
    assert set(TWINS) >= PARTS
    assert all(twin.Config is config for config, twin in TWINS.items())
    assert all(issubclass(twin, Layer) for twin in TWINS.values())


def test_a_layer_from_sizes_is_the_layer_from_its_config():
    by_sizes, by_config = Lstm(D=16, N=63), build(Formula(D=16, N=63))
    assert by_sizes.config == by_config.config == Formula(D=16, N=63)
    assert [p.shape for p in by_sizes.parameters()] == [p.shape for p in by_config.parameters()]
    assert "D=16, N=63" in repr(by_sizes)


def test_weights_have_the_default_format_and_device():
    with torch.device("meta"):
        layer = build(configure("gpt2-xl"))
    assert {p.device.type for p in layer.parameters()} == {"meta"}
    assert sum(p.numel() for p in layer.parameters()) == configure("gpt2-xl").params().total()


def test_a_fresh_model_predicts_almost_evenly():
    # Logits of order one at the start: the loss of a fresh model is near log U.
    torch.manual_seed(0)
    model = build(configure("transformer", U=100, D=64, L=2, H=4))
    ids = torch.randint(0, 100, (4, 64))
    loss = torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), torch.randint(0, 100, (4 * 64,)))
    assert loss.item() == pytest.approx(4.6, abs=1.5)


def test_encoder_and_decoder_read_one_table():
    model = build(configure("encoder-decoder", U=100, D=16, L=1, H=2))
    table = model.encoder.get_submodule("embedding").weight
    assert table is model.decoder.get_submodule("embedding").weight
    assert table is model.decoder.get_submodule("head").weight
    assert len(list(model.parameters())) == len({id(p) for p in model.parameters()})


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Mamba2(D=256), r"it needs H as well: Mamba2\(D=…, H=…\)"),
        (lambda: MinGru(256), r"MinGru: 256 was given; a config, or sizes by name, are allowed: MinGru\(D=…\)"),
        (lambda: MinGru(D=8, foo=1), "unknown size of MinGru 'foo'"),
        (lambda: MinGru(MinGru(D=8).config, C=4), "a config and sizes"),
        (lambda: LanguageModel(mixer="mamva"), "did you mean mamba or mamba2"),
    ],
)
def test_sizes_that_make_no_layer_are_one_sentence(make, says):
    with pytest.raises(SeqcostError, match=says):
        make()

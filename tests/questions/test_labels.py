"""A label is a claim: B, T, S and the data type of an answer are of what ran, or the question is refused."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import seqcost
from seqcost.errors import BadSize, BadTarget

WIDTHS = {"d_model": 32, "d_ff": 64, "num_heads": 4, "d_kv": 8, "vocab_size": 300}
T5 = WIDTHS | {"num_layers": 2, "num_decoder_layers": 2}


class Products(TorchDispatchMode):
    """FLOPs of the matrix products of a real run, from the shapes that their operators are called with."""

    def __init__(self):
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func._schema.name
        if name in ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm"):
            a = args[1] if "add" in name else args[0]
            self.flops += 2 * out.numel() * a.shape[-1]
        elif name == "aten::_scaled_dot_product_flash_attention_for_cpu":
            q, k, v = args[:3]
            self.flops += 2 * q.shape[:-1].numel() * k.shape[-2] * (q.shape[-1] + v.shape[-1])
        return out


def module_and_inputs():
    return nn.Linear(8, 8), (torch.randn(3, 5, 8),)


def words_by_name():
    return nn.Sequential(nn.Embedding(10, 4)), {"input": torch.zeros(2, 7, dtype=torch.int64)}


def half():
    return nn.Linear(8, 8).bfloat16()


def mixed():
    return nn.Sequential(nn.Linear(8, 64).half(), nn.LayerNorm(64, dtype=torch.float16), Up(), nn.Linear(64, 2))


class Up(nn.Module):
    def forward(self, x):
        return x.float()


HERE = __name__


def sizes(count):
    return count.sizes["B"], count.sizes["T"]


@pytest.mark.parametrize(
    ("module", "x", "expected"),
    [
        (nn.Linear(8, 8), torch.randn(3, 5, 8), (3, 5)),
        (nn.Linear(8, 8), torch.randn(5, 8), (5, 1)),
        (nn.Embedding(9, 4), torch.zeros(3, 5, dtype=torch.int64), (3, 5)),
        (nn.Embedding(9, 4), torch.zeros(5, dtype=torch.int64), (1, 5)),
        (nn.LSTM(8, 4), torch.randn(5, 3, 8), (3, 5)),
        (nn.LSTM(8, 4, batch_first=True), torch.randn(3, 5, 8), (3, 5)),
        (nn.LSTM(8, 4), torch.randn(5, 8), (1, 5)),
        (nn.TransformerEncoderLayer(8, 2, 16), torch.randn(5, 3, 8), (3, 5)),
        (nn.Conv1d(8, 4, 3), torch.randn(3, 8, 5), (3, 5)),
        (nn.Conv2d(3, 4, 3), torch.randn(2, 3, 9, 9), (2, 1)),
    ],
)
def test_sizes_are_read_from_the_inputs(module, x, expected):
    count = seqcost.count(module, inputs=(x,))
    assert sizes(count) == expected
    assert str(list(x.shape)) in count.conventions["inputs"]
    assert sizes(seqcost.count(module, inputs=(x,), batch=expected[0], length=expected[1])) == expected


@pytest.mark.parametrize(
    "asked",
    [{"length": 64}, {"length": [64, 128]}, {"batch": 2}, {"length": [5, 6]}, {"length": 8}, {"batch": 3, "length": 3}],
)
def test_other_sizes_than_the_inputs_have_are_refused(asked):
    module, inputs = module_and_inputs()
    with pytest.raises(BadSize, match=r"float32 \[3, 5, 8\]: B = 3, T = 5"):
        seqcost.count(module, inputs=inputs, **asked)
    with pytest.raises(BadSize, match=r"function of \(batch, length\)"):
        seqcost.count(f"{HERE}:module_and_inputs", **asked)


def test_sizes_that_the_inputs_may_mean_choose_the_axes():
    """Nothing in a Linear says that time comes first; the user may."""
    module, inputs = module_and_inputs()
    count = seqcost.count(module, inputs=inputs, length=3, batch=5)
    assert sizes(count) == (5, 3)
    assert "T is axis 0" in count.conventions["inputs"]


class Patches(nn.Module):
    """Tokens of images beside words that are read as well: the convolution stands behind a linear layer."""

    def __init__(self, kernel=4, **options):
        super().__init__()
        self.words, self.cut = nn.Linear(8, 6), nn.Conv2d(3, 6, kernel, **options)

    def forward(self, x, words=None):
        tokens = self.cut(x).flatten(2).mT
        return tokens if words is None else tokens @ self.words(words).mT


IMAGES = torch.randn(2, 3, 9, 12)  # 4 × 4 patches leave a row over


@pytest.mark.parametrize("words", [(), (torch.randn(2, 7, 8),)])
def test_the_tokens_of_an_image_are_its_patches(words):
    module = Patches(stride=4, padding="valid")
    T = module(IMAGES).shape[1]
    count = seqcost.count(module, inputs=(IMAGES, *words))
    assert sizes(count) == (2, T) == (2, 6)
    assert count.conventions["inputs"].endswith("B is axis 0, T counts patches of 4 × 4")
    assert sizes(seqcost.count(module, inputs=(IMAGES, *words), batch=2, length=6)) == (2, 6)
    if words:  # the user may mean the words
        assert sizes(seqcost.count(module, inputs=(IMAGES, *words), length=7)) == (2, 7)


@pytest.mark.parametrize("asked", [{"length": 9}, {"length": 12}, {"length": 3}, {"batch": 3}])
def test_the_sides_of_an_image_that_is_cut_up_are_no_sizes(asked):
    with pytest.raises(BadSize, match=r"float32 \[2, 3, 9, 12\]: B = 2, T = 6"):
        seqcost.count(Patches(stride=4), inputs=(IMAGES,), **asked)


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"stride": 4, "padding": 1}, {"kernel": 2, "dilation": 2}])
def test_a_convolution_that_overlaps_makes_no_tokens(options):
    assert sizes(seqcost.count(Patches(**options), inputs=(IMAGES,))) == (2, 1)


def test_a_film_is_cut_up_in_time_too():
    film = torch.randn(2, 3, 4, 8, 8)
    count = seqcost.count(nn.Conv3d(3, 5, (2, 4, 4), stride=(2, 4, 4)), inputs=(film,))
    assert sizes(count) == (2, 2 * 2 * 2)
    assert count.flops == 2 * 16 * 5 * 3 * 2 * 4 * 4


def test_a_vision_transformer_of_transformers():
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
    )
    module, images = ViTModel(config).eval(), torch.randn(3, 3, 32, 32)
    count = seqcost.count(module, inputs={"pixel_values": images}, batch=3, length=16)
    assert sizes(count) == (3, 16)
    assert module(images).last_hidden_state.shape[1] == 16 + 1, "a class token is not one of the image's"


def test_a_callable_that_returns_inputs_is_labelled_with_them():
    assert sizes(seqcost.count(f"{HERE}:module_and_inputs")) == (3, 5)
    assert sizes(seqcost.count(f"{HERE}:words_by_name")) == (2, 7)


def test_a_long_run_of_the_real_rung_is_one_at_its_own_length():
    class Scaled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * float(x.max())

    for T in (5, 161, 1024):
        count = seqcost.count(Scaled(8, 8), inputs=(torch.randn(2, T, 8),))
        assert (count.rung, sizes(count), count.flops) == ("real tensors", (2, T), 2 * 2 * T * 64)


@pytest.mark.parametrize(("dtype", "itemsize"), [("float64", 8), ("float32", 4), ("bfloat16", 2), ("float16", 2)])
@pytest.mark.parametrize("target", ["live", "callable", "given"])
def test_the_data_type_that_is_asked_for_is_run(dtype, itemsize, target):
    module, inputs = module_and_inputs()
    if target == "live":
        count = seqcost.count(module, batch=3, length=5, dtype=dtype)
    elif target == "given":
        count = seqcost.count(module, inputs=inputs, dtype=dtype)
    else:
        count = seqcost.count(f"{HERE}:module_and_inputs", dtype=dtype)
    assert (count.dtype, count.bytes_moved) == (dtype, itemsize * (15 * 8 + 64 + 8 + 15 * 8))
    assert module.weight.dtype == torch.float32, "the user's own module stays as it is"


def test_a_module_keeps_its_own_data_type():
    live, named = seqcost.count(half(), length=5), seqcost.count(f"{HERE}:half", length=5)
    for count in (live, named):
        assert (count.dtype, count.bytes_moved) == ("bfloat16", 2 * (40 + 64 + 8 + 40))


@pytest.mark.parametrize("target", [mixed, f"{HERE}:mixed"])
def test_a_mixture_of_data_types_is_kept_and_told(target):
    module = mixed()
    count = seqcost.count(target() if callable(target) else target, length=5)
    assert count.dtype == "float16"
    assert count.memory["categories"]["parameters"] == sum(p.numel() * p.element_size() for p in module.parameters())
    assert count.conventions["formats"] == "the module holds float16 1,408 bytes, float32 520 bytes"
    assert (
        "formats" not in seqcost.count(target() if callable(target) else target, length=5, dtype="float32").conventions
    )


@pytest.fixture(scope="module")
def t5():
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    return AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("t5", **T5)).eval()


def test_the_source_of_an_encoder_decoder_of_transformers(t5):
    count = seqcost.count("hf:t5", length=30, source=70, phase="prefill", sizes=T5)
    source, words = torch.zeros(1, 70, dtype=torch.int64), torch.zeros(1, 30, dtype=torch.int64)
    with Products() as real, torch.no_grad():
        carried = t5(input_ids=source, decoder_input_ids=words, use_cache=True).past_key_values
    parts = (carried.self_attention_cache, carried.cross_attention_cache)
    tensors = [t for part in parts for layer in part.layers for t in (layer.keys, layer.values)]
    assert count.sizes["S"] == 70
    assert count.flops == real.flops == 6_694_400
    assert count.state_bytes == sum(t.numel() * t.element_size() for t in tensors) == 51_200
    assert seqcost.count("hf:t5", length=30, source=70, phase="decode", sizes=T5).state_bytes == 51_200


def test_the_source_that_nobody_gave_is_told():
    count = seqcost.count("hf:t5", length=30, sizes=T5)
    assert (count.sizes["S"], count.flops) == (30, 3_724_800)
    assert (
        seqcost.count("encoder-decoder", length=33, trace=True, sizes={"D": 24, "H": 3, "L": 1, "U": 50}).sizes["S"]
        == 33
    )


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("hf:gpt2", {"sizes": {"n_layer": 1, "n_embd": 24, "n_head": 2, "vocab_size": 50}}),
        ("transformer", {}),
        ("transformer", {"trace": True}),
        (f"{HERE}:half", {}),
        (nn.Linear(8, 8), {}),
    ],
)
def test_a_source_that_nobody_reads_is_refused(target, options):
    with pytest.raises((BadSize, BadTarget), match="source"):
        seqcost.count(target, length=30, source=70, **options)


def test_a_difference_is_taken_at_the_sizes_of_the_inputs():
    module, inputs = module_and_inputs()
    for answer in (
        seqcost.diff(module, nn.Linear(8, 16), inputs_a=inputs),
        seqcost.diff(nn.Linear(8, 16), module, inputs_b=inputs),
        seqcost.diff(f"{HERE}:half", f"{HERE}:module_and_inputs"),
    ):
        assert sizes(answer.a) == sizes(answer.b) == (3, 5)
    with pytest.raises(BadSize, match="at one size"):
        seqcost.diff(f"{HERE}:module_and_inputs", f"{HERE}:words_by_name")
    with pytest.raises(BadSize, match="T = 64"):
        seqcost.diff(f"{HERE}:module_and_inputs", f"{HERE}:half", length=64)


def test_a_source_of_one_side_of_a_difference():
    small = {"D": 24, "H": 3, "L": 1, "U": 50}
    answer = seqcost.diff("encoder-decoder", "transformer", length=30, source=70, sizes=small)
    assert (answer.a.sizes["S"], answer.b.sizes.get("S")) == (70, None)

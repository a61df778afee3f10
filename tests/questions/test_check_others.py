"""Other packages' models: those that are sound raise no alarm, and faults that were found by hand are found."""

import contextlib
import warnings

import pytest
import torch
from torch import nn

import seqcost
from seqcost.errors import UnknownName
from seqcost.layers import Lstm

SIZES = {
    "vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3,
}  # fmt: skip
ASKS_A_DIRECTION = "does not see the future"


def hugging_face(kind, name, **sizes):
    transformers = pytest.importorskip("transformers")
    return getattr(transformers, f"{kind}{name}")(getattr(transformers, f"{kind}Config")(**SIZES | sizes))


def other(package, name, *args, **sizes):
    with warnings.catch_warnings():  # performer-pytorch imports what is deprecated
        warnings.simplefilter("ignore")
        module = pytest.importorskip(package)
        return getattr(module, name)(*args, **sizes)


def x_transformer(kind):
    layers = other("x_transformers", kind, dim=32, depth=2, heads=4)
    return other("x_transformers", "TransformerWrapper", num_tokens=99, max_seq_len=128, attn_layers=layers)


def lucid(causal):
    return other("performer_pytorch", "SelfAttention", 32, causal=causal, heads=4, dim_head=8)


def words():
    return (torch.randint(1, 99, (3, 48)),)


def features():
    return (torch.randn(3, 48, 32),)


SOUND = {
    "torch LSTM": (lambda: nn.LSTM(32, 32, batch_first=True), None),
    "torch LSTM, both ways": (lambda: nn.LSTM(32, 32, bidirectional=True), None),
    "torch encoder": (lambda: nn.TransformerEncoderLayer(32, 4, 48, batch_first=True), None),
    "torch encoder in another module": (lambda: nn.Sequential(nn.TransformerEncoderLayer(32, 4, 48)), None),
    "gpt2": (lambda: hugging_face("GPT2", "LMHeadModel", n_head=4, n_layer=2, n_embd=32), None),
    "opt": (lambda: hugging_face("OPT", "ForCausalLM", ffn_dim=48, word_embed_proj_dim=32, pad_token_id=1), None),
    "bert": (lambda: hugging_face("Bert", "Model"), None),
    "bert, a decoder": (lambda: hugging_face("Bert", "LMHeadModel", is_decoder=True), None),
    "roberta": (lambda: hugging_face("Roberta", "Model", pad_token_id=1), None),
    "roberta, a decoder": (lambda: hugging_face("Roberta", "ForCausalLM", pad_token_id=1, is_decoder=True), None),
    "electra": (lambda: hugging_face("Electra", "Model", embedding_size=32), None),
    "longformer": (lambda: hugging_face("Longformer", "Model", attention_window=[8, 8], pad_token_id=1), None),
    "x-transformers decoder": (lambda: x_transformer("Decoder"), words),
    "x-transformers encoder": (lambda: x_transformer("Encoder"), words),
    "performer, both ways": (lambda: lucid(causal=False), features),
    "minGRU": (lambda: other("minGRU_pytorch", "minGRU", 32), features),
}


def rows_of(make, inputs=None, **options):
    torch.manual_seed(0)
    with contextlib.redirect_stdout(None):
        found = seqcost.check(make(), inputs=inputs() if inputs else None, **options)
    return found, {row.what: row for row in found.rows}


@pytest.mark.parametrize("name", SOUND)
def test_no_false_alarm(name):
    found, _ = rows_of(*SOUND[name])
    assert found.sound, [row for row in found.rows if row.verdict in ("fails", "raises")]


def test_an_encoder_is_not_asked_what_it_does_by_design():
    for name in ("torch LSTM, both ways", "torch encoder", "bert", "roberta", "electra", "x-transformers encoder"):
        found, rows = rows_of(*SOUND[name])
        assert rows[ASKS_A_DIRECTION].verdict == "not asked"
        assert found.custom.startswith("no state")
        assert "single steps = whole" not in rows
    for name in ("bert", "roberta", "electra"):
        assert rows_of(*SOUND[name])[1]["padding on the left"].verdict == "holds"


def test_what_it_may_see_can_be_said():
    make, inputs = SOUND["bert"]
    assert rows_of(make, inputs, sees="past")[1][ASKS_A_DIRECTION].verdict == "fails"
    assert rows_of(lambda: lucid(causal=True), features, sees="both")[0].sound
    with pytest.raises(UnknownName, match="unknown word for what it sees 'future'"):
        rows_of(make, inputs, sees="future")


def test_a_state_is_asked_for_by_its_switch():
    found, rows = rows_of(*SOUND["x-transformers decoder"])
    assert found.custom == "m(x, cache, return_intermediates=True), x all tokens so far"
    assert rows["single steps = whole"].verdict == rows["gradients through the state"].verdict == "holds"
    assert "one token at a time" in rows["three pieces = whole"].remark


def test_the_cache_of_local_attention_turns_its_keys_twice():
    # LocalMHA keeps keys that are rotated already and rotates them again: right in the first step, wrong in the second.
    make = lambda: other(  # noqa: E731
        "local_attention.transformer", "LocalMHA", dim=32, window_size=16, heads=4, dim_head=8, causal=True
    )
    found, rows = rows_of(make, features)
    assert found.custom == "m(x, cache, return_cache=True)"
    assert (rows["single steps = whole"].verdict, rows["single steps = whole"].position) == ("fails", 2)


def test_performers_causal_form_sees_the_largest_key_of_all():
    # Its features are shifted by the largest over all keys, and an epsilon makes the shift show.
    _, rows = rows_of(lambda: lucid(causal=True), features)
    assert rows[ASKS_A_DIRECTION].verdict == "fails"
    assert "sees 47 tokens ahead" in rows[ASKS_A_DIRECTION].remark


def test_a_cache_that_is_asked_for_among_the_keyword_arguments():
    pytest.importorskip("transformers")
    sizes = {
        "num_key_value_heads": 2, "layer_types": ["mamba", "attention"], "mamba_n_heads": 8, "mamba_d_head": 8,
        "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 16, "num_local_experts": 2,
        "num_experts_per_tok": 1, "shared_intermediate_size": 48,
    }  # fmt: skip
    found, rows = rows_of(lambda: hugging_face("GraniteMoeHybrid", "ForCausalLM", **sizes))
    assert found.custom == "past_key_values="
    assert rows["single steps = whole"].verdict == "holds"


def test_a_state_that_is_dropped_shows_with_larger_weights():
    sizes = {
        "num_key_value_heads": 2, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
        "expert_layer_offset": 1, "num_experts": 2, "mamba_d_state": 8, "mamba_dt_rank": 4, "use_mamba_kernels": False,
    }  # fmt: skip
    _, rows = rows_of(lambda: hugging_face("Jamba", "ForCausalLM", **sizes))
    assert rows["three pieces = whole"].verdict == "fails"
    assert rows["three pieces = whole"].remark == "with larger weights"
    assert rows["single steps = whole"].verdict == "holds"


def test_the_size_of_a_cache_is_what_it_holds():
    _, rows = rows_of(lambda: hugging_face("Llama", "ForCausalLM", num_key_value_heads=2))
    L, B, T, H, K = 2, 3, 48, 2, 8  # keys and values of 4 bytes per number
    assert rows["size of what is carried"].remark == f"{2 * L * B * T * H * K * 4:,} bytes after 48 tokens, 256 a token"


def test_a_state_that_says_the_wrong_size():
    layer = Lstm(D=16, N=16)

    class Wrong(type(layer)):
        def init_state(self, *args, **options):
            return Claims(super().init_state(*args, **options))

        def extend(self, x, state):
            y, after = super().extend(x, state.own)
            return y, Claims(after)

        def step(self, x, state):
            y, after = super().step(x, state.own)
            return y, Claims(after)

    rows = rows_of(lambda: Wrong(D=16, N=16))[1]
    assert rows["size of what is carried"].remark == "it says 1 bytes and holds 384"


class Claims(tuple):
    """A state that says a size of its own."""

    nbytes = 1

    def __new__(cls, own):
        made = super().__new__(cls, (own,))
        made.own = own
        return made


def test_halves_are_tried_in_float32():
    assert rows_of(lambda: nn.LSTM(32, 32, batch_first=True).to(torch.bfloat16))[0].sound


def test_the_callers_weights_and_random_numbers_are_left_alone():
    module = nn.GRU(8, 8, batch_first=True)
    before, seeds = [p.clone() for p in module.parameters()], torch.get_rng_state()
    seqcost.check(module)
    assert all(map(torch.equal, before, module.parameters()))
    assert torch.equal(seeds, torch.get_rng_state())


def test_a_state_inside_the_module_is_asked_of_what_generates():
    sizes = {"num_hidden_layers": 3, "num_key_value_heads": 1, "lru_width": 32, "attention_window_size": 64}
    found, rows = rows_of(lambda: hugging_face("RecurrentGemma", "ForCausalLM", **sizes))
    assert found.custom == "a state inside the module"
    assert rows["single steps = whole"].verdict == "fails"  # a loop without position_ids restarts it
    assert rows["size of what is carried"].remark == "it is hidden inside the module"

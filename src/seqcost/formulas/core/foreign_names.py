"""What other packages call the letters of a model: the settings that their configurations have for them."""

from collections.abc import Callable, Mapping

# The most usual first.
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "L": ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers"),
    "D": ("hidden_size", "n_embd", "d_model", "dim"),
    "F": ("intermediate_size", "n_inner", "d_ff", "ffn_dim", "hidden_dim", "ffn_hidden_size", "encoder_ffn_dim"),
    "H": ("num_attention_heads", "n_head", "num_heads", "n_heads", "encoder_attention_heads"),
    "U": ("vocab_size",),
}
# The words of the command line, and the letter that each stands for.
FRIENDLY: Mapping[str, str] = {"width": "D", "layers": "L", "heads": "H", "vocab": "U"}


def settings_for(word: str, has: Callable[[str], bool]) -> list[str]:
    """The settings that a word or letter stands for, of those that a configuration `has`.

    One, or an encoder's and a decoder's; none where it has none.
    """
    names = [name for name in SETTINGS.get(FRIENDLY.get(word, word), ()) if has(name)][:1]
    pair = [name.replace("encoder_", "decoder_") for name in names if name.startswith("encoder_")]
    return names + [name for name in pair if has(name)]

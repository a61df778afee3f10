"""What a file or a folder is, told by its name."""

from pathlib import Path

from seqcost.errors import BadTarget

INDEX_OF_WEIGHTS = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"

# Files by the end of their name, the longest that fits; a folder is what it has inside, the first that is there.
FILES = {
    ".safetensors.index.json": "weights",
    ".safetensors": "weights",
    ".json": "hugging-face",
    ".pt2": "exported-program",
    ".onnx": "onnx",
}
FOLDERS = {"config.json": "hugging-face", INDEX_OF_WEIGHTS: "weights", WEIGHTS: "weights"}


def kind_of_path(path: Path) -> str | None:
    """hugging-face, weights, exported-program or onnx; None for what is neither there nor ends so.

    Raises BadTarget for a file that is there and ends in no known way.
    """
    if path.is_dir():
        return next((kind for name, kind in FOLDERS.items() if (path / name).is_file()), "hugging-face")
    end = next((end for end in FILES if path.name.endswith(end)), None)
    if end is None and path.is_file():
        raise BadTarget(f"{path} was given; a file that ends in {', '.join(FILES)} is allowed.")
    return None if end is None else FILES[end]

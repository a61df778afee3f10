"""A Hugging Face configuration as a target: `hf:MODEL_TYPE`, a config.json or its folder, a model in the hub's cache.

Nothing is downloaded.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from seqcost.errors import BadTarget
from seqcost.files.child import read
from seqcost.questions.answers.count import Count
from seqcost.questions.asked.request import Request
from seqcost.questions.targets.files import FOLDERS
from seqcost.questions.targets.hub_cache import cache_folder, cached_configuration, names_a_model
from seqcost.questions.targets.subject import Resizable, Subject
from seqcost.questions.targets.weights import disagreement

if TYPE_CHECKING:
    from seqcost.trace.letters import HuggingFaceSizes

PREFIX = "hf:"
LARGEST_CONFIG_BYTES = 4 * 2**20


class Configuration(Subject):
    """A configuration, with settings of it overridden."""

    family: ClassVar[str] = "transformers"
    reader: ClassVar[tuple[str, str] | None] = ("transformers", "Hugging Face configurations need")

    def __init__(self, name: str, sizes: Mapping[str, Any]) -> None:
        super().__init__(name)
        self.sizes = dict(sizes)

    @cached_property
    def given(self) -> dict[str, Any]:
        """The configuration as it was written. Raises BadTarget where there is none."""
        if self.name.startswith(PREFIX):
            return {"model_type": self.name.removeprefix(PREFIX)}
        return configuration_at(Path(self.name))

    def counted(self, request: Request) -> Count:
        """By its trace, with a word on the revision or the weights that lie beside it."""
        answer = super().counted(request)
        said: dict[str, str] = {}
        if Path(self.name).is_dir():
            found = disagreement(Path(self.name), answer.params)
            said = {} if found is None else {"weights": found}
        elif names_a_model(self.name) and (cached := cached_configuration(self.name)) is not None:
            said = {"configuration": f"of the hub's cache, revision {cached.parent.name}"}
        return replace(answer, conventions={**answer.conventions, **said})

    def spec(self, source: int | None = None) -> dict[str, Any]:
        """The configuration, its name and what is overridden."""
        found = {"kind": "hugging-face", "name": self.name, "config": self.given, "sizes": self.sizes}
        return found if source is None else found | {"source": source}

    def setting(self, word: str) -> str | None:
        """A setting under any of its names."""
        self.need_reader()
        from seqcost.trace.letters import HuggingFaceSizes

        found = HuggingFaceSizes(self.spec())
        name = found.proper(word)
        return name if name in found.settings else None

    def resized(self, setting: str, size: Any) -> "Configuration":
        """With another value of a setting; what the package derives from it follows."""
        self.need_reader()
        from seqcost.trace.letters import HuggingFaceSizes

        spec = HuggingFaceSizes(self.spec()).spec_at({setting: size})
        other = Configuration(self.name, spec["sizes"])
        other.given = spec["config"]
        return other

    def resizable(self, request: Request) -> Resizable:
        """Models at other sizes."""
        self.need_reader()
        from seqcost.trace.letters import HuggingFaceSizes

        return _Resized(HuggingFaceSizes(self.spec(request.S)), request)


class _Resized:
    def __init__(self, found: "HuggingFaceSizes", request: Request) -> None:
        from seqcost.trace.letters import Sampler

        self.settings, self.proper, self.follows = found.settings, found.proper, found.follows
        self.cost = Sampler(found.target_at, phase=request.phase, B=request.B or 1, dtype=request.dtype)

    @property
    def uncounted(self) -> set[str]:
        return self.cost.uncounted


def configuration_at(path: Path) -> dict[str, Any]:
    """The Hugging Face configuration in a file, or in the `config.json` of a folder or of a model in the hub's cache.

    Raises BadTarget where there is none, or where it is no JSON object that names a model type.
    """
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        file = _elsewhere(path)
    if file.stat().st_size > LARGEST_CONFIG_BYTES:
        raise BadTarget(f"{file} has {file.stat().st_size:,} bytes; a configuration has a few thousand.")
    found = read("json", file)
    if not isinstance(found, dict) or not isinstance(found.get("model_type"), str):
        raise BadTarget(f"{file} names no model_type; a Hugging Face configuration is an object that does.")
    return found


def _elsewhere(path: Path) -> Path:
    """The configuration of a model by its name on the hub, as it was fetched; BadTarget where it is nowhere."""
    name = path.as_posix()
    if path.is_dir():
        raise BadTarget(f"{name} is a folder with none of {', '.join(FOLDERS)}; name one of a model.")
    if not names_a_model(name):
        raise BadTarget(
            f"{name} is not there; name a file or a folder with a Hugging Face configuration (config.json)."
        )
    found = cached_configuration(name)
    if found is None:
        raise BadTarget(
            f"{name} is no folder here and not in the hub's cache ({cache_folder()}), and nothing is downloaded: get "
            f"its configuration with `hf download {name} config.json`, or name a config.json."
        )
    return found

"""What a target costs at other sizes than its own: a model is built for each, on fake tensors, and followed.

Sizes are known by the names of the settings that they override. Of a Hugging Face configuration a size takes the place
of the one given, before the package derives the rest: a head is as wide as the new width asks for, a feed-forward
width that nobody set follows. A setting that the user has overridden is overridden in the same way as by a count.
"""

from collections.abc import Callable, Mapping
from typing import Any

from seqcost.errors import FOREIGN_ERRORS, BadTarget, one_line
from seqcost.programs.hugging_face.configuration import configuration_of
from seqcost.programs.targets import Target
from seqcost.trace.ladder import LONGEST_REAL
from seqcost.trace.rungs import Rung, fake_rung, real_rung, untouched_random_state


class Sampler:
    """Costs at sizes and lengths; a model is built once for all its lengths.

    Raises BadTarget, with the target's own reason, for sizes that cannot be built or run.
    """

    def __init__(
        self, target_at: Callable[[Mapping[str, int]], Target], *, phase: str, B: int, dtype: str | None
    ) -> None:
        self._target_at, self._phase, self._B, self._dtype = target_at, phase, B, dtype
        self._open: dict[tuple[tuple[str, int], ...], Rung] = {}
        self._kind: Callable[[Target], Rung] | None = None
        self.uncounted: set[str] = set()

    def __call__(self, sizes: Mapping[str, int], T: int) -> dict[str, int]:
        """FLOPs of contractions, pointwise operations and parameters."""
        failures: list[str] = []
        # Sizes that no model takes fail on every rung: the first success decides which one is used from then on.
        for kind in [self._kind] if self._kind else [self._fake, self._real]:
            try:
                seen = self._look(kind, sizes, T)
            except FOREIGN_ERRORS as error:  # the model's own code runs here
                failures.append(one_line(error, most=200) or type(error).__name__)
                continue
            self._kind = kind
            return seen
        at = ", ".join(f"{name} = {size}" for name, size in {**sizes, "T": T}.items())
        raise BadTarget(f"no cost could be traced at {at} ({failures[0]}); choose other sizes.")

    def _look(self, kind: Callable[[Target], Rung], sizes: Mapping[str, int], T: int) -> dict[str, int]:
        key = tuple(sorted(sizes.items()))
        with untouched_random_state():
            rung = self._open.get(key) or kind(self._target_at(sizes))
            seen = rung.look(T, keeping=False)
        self._open[key] = rung
        self.uncounted |= {operator for (_, _, operator), entry in seen.entries.items() if not entry.known}
        return {"flops": seen.total("flops") or 0, "pointwise": seen.total("pointwise") or 0, "params": seen.params}

    def _fake(self, target: Target) -> Rung:
        return fake_rung(target, phase=self._phase, B=self._B, dtype=self._dtype)

    def _real(self, target: Target) -> Rung:
        return real_rung(target, phase=self._phase, B=self._B, dtype=self._dtype, longest=LONGEST_REAL)


class HuggingFaceSizes:
    """The settings of a Hugging Face configuration: their values, and models at others."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._name, self._given = str(spec["name"]), dict(spec["config"])
        self._source = spec.get("source")
        self._config, _ = configuration_of(self._given, **(spec.get("sizes") or {}))
        self._aliases: Mapping[str, str] = getattr(type(self._config), "attribute_map", {})
        self._changes = {self.proper(name): value for name, value in (spec.get("sizes") or {}).items()}
        self.settings: Mapping[str, Any] = self._config.to_dict()

    def proper(self, name: str) -> str:
        """The name under which the configuration keeps a setting: GPT-2's `hidden_size` is its `n_embd`."""
        return self._aliases.get(name, name)

    def target_at(self, sizes: Mapping[str, int]) -> Target:
        """The model at other sizes."""
        return Target.of_spec(self.spec_at(sizes))

    def spec_at(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """The same as plain data."""
        given = {name: value for name, value in self._given.items() if self.proper(name) not in sizes}
        given |= {name: size for name, size in sizes.items() if name not in self._changes}
        for name, size in sizes.items():
            # A list with an entry a layer belongs to the number of layers that it was written for. Without it the
            # package makes its own; should that be another pattern, the target's own sizes will not agree.
            own = self.settings[name]
            if "layer" in name and size != own:
                given = {n: v for n, v in given.items() if not ("layer" in n and isinstance(v, list) and len(v) == own)}
        changes = self._changes | {name: size for name, size in sizes.items() if name in self._changes}
        return {"kind": "hugging-face", "name": self._name, "config": given, "sizes": changes, "source": self._source}

    def follows(self, name: str, other: str) -> bool:
        """Whether a setting changes with another one, so that it is no size of its own."""
        try:
            config, _ = configuration_of(self._given | {other: 2 * self.settings[other]}, **self._changes)
        except BadTarget:
            return False
        return bool(config.to_dict().get(name) != self.settings[name])

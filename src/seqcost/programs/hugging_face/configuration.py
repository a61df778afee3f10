"""Configurations of the transformers package: data, from which the package fills in what nobody set.

A configuration is a dict with a `model_type` that the installed release knows. Code that it names (`auto_map`,
`trust_remote_code`) is not run and not kept; other models that it names (`backbone`) are refused, for they would have
to be looked up.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from seqcost.errors import BadTarget, UnknownName, shortened, with_type
from seqcost.extras import need
from seqcost.formulas.core.foreign_names import settings_for
from seqcost.programs.hugging_face.offline import offline
from seqcost.programs.hugging_face.settings import check_settings

_CODE = ("auto_map", "trust_remote_code", "transformers_version")
_FLOAT = "__float__"  # how the package writes what JSON has no number for
_FLOATS = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": float("nan")}
_DEEPEST = 100  # mappings and lists in each other


def configuration_of(given: Mapping[str, Any], **changes: Any) -> tuple[Any, Any]:
    """The package's own configuration, its defaults filled in, and the names of the classes that were asked for.

    `changes` take the place of what was given, under any name that the package knows a setting by, or as layers, width,
    heads and vocab: what is derived from other settings follows them, what is given stays. Those of a part are named
    with it (`vision_config.depth`); of a model that reads images, layers and width are those of its words. Lists with
    one entry per layer are cut to fewer layers.

    Raises UnknownName for a type or a setting that does not exist, BadTarget for values that the package refuses.
    """
    transformers = the_package()
    settings = _data(given)
    kind = settings.pop("model_type", None)
    if not isinstance(kind, str):
        raise BadTarget(f"model_type = {shortened(kind)} was given; a configuration names one, such as 'gpt2'.")
    if kind not in transformers.CONFIG_MAPPING:
        raise UnknownName.among("model type of transformers", kind, transformers.CONFIG_MAPPING.keys())
    wanted = settings.pop("architectures", None) or []
    check_settings(settings, kind)
    if not changes:
        return _made(transformers, kind, settings), wanted
    check_settings(changes, kind)
    return _made(transformers, kind, _changed(settings, _made(transformers, kind, settings), kind, changes)), wanted


def _changed(settings: Mapping[str, Any], before: Any, kind: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with changes in the place of what was given, those of a part among the part's."""
    merged, of_parts = dict(settings), dict[str, dict[str, Any]]()
    aliases: Mapping[str, str] = getattr(type(before), "attribute_map", {})
    for name, value in _by_setting(before, kind, changes):
        part, dot, setting = name.partition(".")
        if dot:
            of_parts.setdefault(part, {})[setting] = value
            continue
        proper = aliases.get(name, name)
        merged = {n: v for n, v in merged.items() if aliases.get(n, n) != proper} | {proper: value}
        merged = _cut(merged, proper, getattr(before, proper), value)
    for part, theirs in of_parts.items():
        own = getattr(before, part)
        given = merged.get(part)
        if given is None:  # a part may take what stands beside it
            given = {n: v for n, v in merged.items() if hasattr(own, n) and getattr(own, n) == v}
        if not isinstance(given, Mapping):
            raise BadTarget(f"{part} = {shortened(given)} was given; {part} of {kind} has settings of its own.")
        merged[part] = _changed(given, own, f"{kind}.{part}", theirs)
    return merged


def the_package() -> Any:
    """The transformers package, quiet."""
    need("transformers", "Hugging Face configurations need")
    import transformers

    transformers.logging.set_verbosity_error()
    return transformers


def _made(transformers: Any, kind: str, settings: Mapping[str, Any]) -> Any:
    try:
        with offline():
            return transformers.AutoConfig.for_model(kind, **settings)
    except Exception as error:  # noqa: BLE001 - the package checks a configuration in many ways
        raise BadTarget(f"the configuration of {kind!r} was refused: {with_type(error, most=300)}") from None


def _by_setting(config: Any, kind: str, changes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Changes by the names of settings; a word such as layers stands for the setting that this type has for it.

    Those of a part are "vision_config.depth"; what the whole does not know is looked for in the part that reads words.
    """
    own = config.to_dict()
    parts = {name: value for name in own if hasattr(value := getattr(config, name, None), "attribute_map")}
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    words = next((name for name, part in parts.items() if part is text), None)
    for name, value in changes.items():
        settings = [name] if hasattr(config, name) else settings_for(name, own.__contains__)
        if not settings and name.partition(".")[0] in parts:
            settings = [name]
        if not settings and words is not None:
            theirs = text.to_dict()
            found = [name] if hasattr(text, name) else settings_for(name, theirs.__contains__)
            settings = [f"{words}.{setting}" for setting in found]
        if not settings:
            raise UnknownName.among(f"setting of {kind}", name, [*own, *(f"{part}.…" for part in parts)])
        yield from ((setting, value) for setting in settings)


def _cut(settings: Mapping[str, Any], name: str, before: Any, after: Any) -> dict[str, Any]:
    """With fewer layers, lists of one entry per layer lose those of the layers that are gone."""
    if "layer" not in name or not isinstance(before, int) or not isinstance(after, int) or after >= before:
        return dict(settings)
    return {
        n: v[:after] if "layer" in n and isinstance(v, list) and len(v) == before else v for n, v in settings.items()
    }


def _data(value: Any, depth: int = 0) -> Any:
    """A copy without code to run, and with the numbers that JSON has no word for."""
    if depth > _DEEPEST:
        raise BadTarget(f"the configuration is over {_DEEPEST} levels deep; give one of a model that there is.")
    if isinstance(value, Mapping):
        if set(value) == {_FLOAT} and value[_FLOAT] in _FLOATS:
            return _FLOATS[value[_FLOAT]]
        return {name: _data(item, depth + 1) for name, item in value.items() if name not in _CODE}
    if isinstance(value, list | tuple):
        return type(value)(_data(item, depth + 1) for item in value)
    return value

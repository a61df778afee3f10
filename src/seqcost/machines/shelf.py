"""Machines by name: those that come with seqcost, this very machine as it was calibrated, and files.

h100              the newest measured edition, else the newest
h100@datasheet    the newest edition without measured kernels
h100@2026-11-27   that edition
here              this machine's newest profile by `seqcost calibrate`
my/profile.toml   a file
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from seqcost.errors import UnknownName
from seqcost.here import machine_id, store_path
from seqcost.machines.machine import Machine
from seqcost.machines.reading import read

DATA = Path(__file__).parent / "data"
HERE = "here"
UNMEASURED = "datasheet"


def home() -> Path:
    """The folder of the profiles that `seqcost calibrate` makes: `machines` beside the store of runs."""
    return store_path().parent / "machines"


def own_profile(device: str, threads: int | None) -> Path:
    """Where the profile of this machine, device and number of threads is kept."""
    return home() / f"{'-'.join([machine_id(), device, *([str(threads)] if threads is not None else [])])}.toml"


def known_machines() -> tuple[Machine, ...]:
    """All that come with seqcost, by name, the newest edition first."""
    return tuple(sorted(map(_shipped, _files("*")), key=lambda found: (found.name, _reversed(found.edition))))


def calibrated_here(device: str = "cpu", threads: int | None = None) -> tuple[Machine, ...]:
    """Profiles of this very machine, the newest first; with one number of threads, or any."""
    pattern = own_profile(device, threads).name if threads is not None else f"{machine_id()}-{device}*.toml"
    found = [read(path) for path in sorted(home().glob(pattern))] if home().is_dir() else []
    return tuple(sorted(found, key=lambda machine: machine.edition, reverse=True))


def machine_named(word: str, *, device: str = "cpu", threads: int | None = None) -> Machine:
    """The machine of a word: a name, `name@edition`, "here" (of a device and a number of threads) or a TOML file.

    Raises UnknownName with the names that there are, BadMachine where its profile cannot be used.
    """
    if word == HERE:
        return _here(device, threads)
    if word.endswith(".toml"):
        return read(word)
    name, _, edition = word.lower().partition("@")
    editions = _editions(name)
    if edition == UNMEASURED:
        editions = [machine for machine in editions if not machine.is_measured] or editions
    elif edition:
        chosen = [machine for machine in editions if machine.edition == edition]
        if not chosen:
            raise UnknownName.among(f"edition of {name}", edition, [machine.edition for machine in editions])
        editions = chosen
    else:
        editions = [machine for machine in editions if machine.is_measured] or editions
    return editions[0]


def _here(device: str, threads: int | None) -> Machine:
    found = calibrated_here(device, threads)
    if not found:
        of = f" with {threads} threads" if threads is not None else ""
        raise UnknownName(
            f"there is no profile of this machine ({device}{of}) yet: run `seqcost calibrate`, or name another machine "
            "(`seqcost machines` lists them)."
        )
    return found[0]


def _editions(name: str) -> list[Machine]:
    """The newest first; a name's own files before those that have it as another name."""
    own = [machine for machine in map(_shipped, _files(name)) if machine.name == name]
    if not own:
        every = known_machines()
        own = [machine for machine in every if name in map(str.lower, machine.aliases)]
        if not own:
            raise UnknownName.among("machine", name, {machine.name for machine in every} | {HERE, "FILE.toml"})
    return sorted(own, key=lambda machine: machine.edition, reverse=True)


def _files(name: str) -> Iterator[Path]:
    safe = name == "*" or name.replace("-", "").replace(".", "").isalnum()
    return DATA.glob(f"{name}_*.toml") if safe else iter(())


@cache
def _shipped(path: Path) -> Machine:
    return read(path)


def _reversed(edition: str) -> tuple[int, ...]:
    return tuple(-ord(sign) for sign in edition)

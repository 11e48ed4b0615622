"""What a fake hypervisor is told to do: delays, failures, hangs, guests that misbehave."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

VERBS = frozenset(
    {"define", "start", "stop", "reboot", "pause", "save", "restore", "undefine", "capacity"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to calls of a verb. The first rule that matches decides."""

    verb: str
    vm_id: int | None = None
    """Only this VM; None: every VM."""
    skip: int = 0
    """Leaves that many matching calls of a VM alone first."""
    times: int | None = None
    """Then matches that many calls of a VM; None: all of them."""
    delay_s: float = 0.0
    """The verb takes that much longer."""
    fail: str = ""
    """The verb fails with this text, after the delay and without an effect."""
    hang: bool = False
    """The verb never ends."""

    def matches(self, verb: str, vm_id: int, earlier: int) -> bool:
        """*earlier* counts the calls of that verb for that VM before this one."""
        if verb != self.verb or self.vm_id not in (None, vm_id) or earlier < self.skip:
            return False
        return self.times is None or earlier < self.skip + self.times


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How a guest behaves once it runs."""

    vm_id: int | None = None
    """Only this VM; None: every VM."""
    ignores_shutdown: bool = False
    """Only force stops it."""
    poweroff_after_s: float | None = None
    """Shuts itself down that long after its start."""
    crash_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeScript:
    """A fake host: its size, its speed, what goes wrong."""

    vcpu: int = 64
    memory_mib: int = 262_144
    boot_s: float = 0.0
    """From start to the guest's first line."""
    shutdown_s: float = 0.0
    """How long a guest takes to shut down when asked."""
    rules: tuple[Rule, ...] = ()
    guests: tuple[Conduct, ...] = ()
    unknown_guests: tuple[str, ...] = ()
    """Guests that are there and not ours."""

    def rule(self, verb: str, vm_id: int, earlier: int) -> Rule | None:
        return next((rule for rule in self.rules if rule.matches(verb, vm_id, earlier)), None)

    def conduct(self, vm_id: int) -> Conduct:
        return next((one for one in self.guests if one.vm_id in (None, vm_id)), Conduct())


def load(path: Path) -> FakeScript:
    """
    Reads a script from a .toml, .yaml or .yml file.

    Raises ValueError that names the file and the key at fault.
    """
    text = path.read_text()
    try:
        raw = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as err:
        raise ValueError(f"{path}: {err}") from err
    try:
        return from_mapping(raw or {})
    except ValueError as err:
        raise ValueError(f"{path}: {err}") from err


def from_mapping(raw: Any) -> FakeScript:
    """The same from parsed data. Raises ValueError."""
    values = dict(_checked(FakeScript, raw))
    values["rules"] = tuple(Rule(**_checked(Rule, one)) for one in values.get("rules", ()))
    values["guests"] = tuple(Conduct(**_checked(Conduct, one)) for one in values.get("guests", ()))
    values["unknown_guests"] = tuple(str(name) for name in values.get("unknown_guests", ()))
    for rule in values["rules"]:
        if rule.verb not in VERBS:
            raise ValueError(f"no verb {rule.verb!r}: there are {_listed(VERBS)}")
    return FakeScript(**values)


_Record = TypeVar("_Record", FakeScript, Rule, Conduct)


def _checked(kind: type[_Record], raw: Any) -> Mapping[str, Any]:
    """*raw* as keyword arguments of *kind*: only keys it has, only values of plausible types."""
    if not isinstance(raw, dict):
        raise ValueError(f"{kind.__name__} takes keys and values, not {raw!r}")
    known = {field.name: str(field.type) for field in fields(kind)}
    for key, value in raw.items():
        if key not in known:
            raise ValueError(f"no key {key!r} in {kind.__name__}: there are {_listed(known)}")
        if not _plausible(known[key], value):
            raise ValueError(f"{key} takes {known[key]}, not {value!r}")
    if kind is Rule and "verb" not in raw:
        raise ValueError("a rule needs a verb")
    return raw


def _plausible(annotation: str, value: Any) -> bool:
    if annotation.startswith("tuple"):
        return isinstance(value, list | tuple)
    if annotation.startswith("bool"):
        return isinstance(value, bool)
    if annotation.startswith("str"):
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value >= 0 and (annotation.startswith("float") or isinstance(value, int))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))

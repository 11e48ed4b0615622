"""Our top-level names are plain words: nothing else in the environment may own one of them."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement

from tests.rules.sources import ROOT, TOP_FOLDERS, tracked

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    name: version
    for name, version in re.findall(
        r"^([a-z0-9-]+)==(\S+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
}


def test_no_other_distribution_owns_our_names() -> None:
    owners = packages_distributions()
    for name in TOP_FOLDERS:
        assert set(owners.get(name, ["skyraft"])) == {"skyraft"}


def test_every_package_carries_its_types() -> None:
    for name in TOP_FOLDERS:
        assert (ROOT / name / "py.typed").is_file(), name


def test_lock_pins_every_dependency_within_its_bounds() -> None:
    extras = PROJECT["optional-dependencies"].values()
    for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]:
        wanted = Requirement(line)
        name = wanted.name.lower().replace("_", "-")
        assert name in PINS, f"{name} is not in requirements.lock: run ./dev lock"
        assert wanted.specifier.contains(PINS[name], prereleases=True), (
            f"{name} {PINS[name]} in requirements.lock is not {wanted.specifier}: run ./dev lock"
        )


def test_locks_name_no_package_host() -> None:
    """Versions only: each machine asks the registries that it is set up for."""
    for lock in [*ROOT.glob("requirements*.lock"), *map(ROOT.joinpath, tracked("-lock.json"))]:
        assert not re.search(r'(?m)"resolved"|file://|@ *http|^--', lock.read_text()), lock

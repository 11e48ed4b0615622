"""Each source file has a test file that is found without searching."""

from __future__ import annotations

from pathlib import Path

from tests.rules.sources import TOP_FOLDERS, python_files, tracked

TESTED_ELSEWHERE = {
    "frontend/errors.py": "tests/frontend/test_api_call.py",
    "protos/build.py": "tests/rules/test_generated.py",
    # Parts of the engine that nothing else uses.
    "raft/clock.py": "tests/raft/test_engine.py",
    "raft/core.py": "tests/raft/test_engine.py",
    "raft/halt.py": "tests/raft/test_engine.py",
    "raft/interfaces.py": "tests/raft/test_engine.py",
    # The simulator is tested by what it has to find.
    "raft/history.py": "tests/sim/test_raft_promises.py",
    "raft/sim.py": "tests/sim/test_raft_promises.py",
    "raft/simcluster.py": "tests/sim/test_raft_promises.py",
    "raft/simnet.py": "tests/sim/test_raft_promises.py",
}
"""Source file -> the test file that covers it, where mirroring would split one promise in two."""


def candidates(source: Path) -> set[str]:
    """raft/engine.py is tested by tests/raft/test_engine.py. In deeper folders the folder may be
    a folder of tests or a part of the name, and a topic may follow: tests/frontend/
    test_commands_vm_actions.py."""
    top, *folders = source.parent.parts
    flat = "_".join([*folders, source.stem])
    return {
        f"tests/{top}/test_{source.stem}",
        f"tests/{top}/test_{flat}",
        f"tests/{'/'.join(source.parent.parts)}/test_{source.stem}",
        *(f"tests/{top}/test_{folder}" for folder in folders),
    }


def test_every_source_file_has_its_test_file() -> None:
    tests = {str(path.with_suffix("")) for path in tracked(".py") if path.parts[0] == "tests"}
    untested = [
        str(source)
        for source in python_files(*TOP_FOLDERS)
        if source.name != "__init__.py"
        and str(source) not in TESTED_ELSEWHERE
        and not any(
            test == wanted or test.startswith(f"{wanted}_")
            for wanted in candidates(source)
            for test in tests
        )
    ]
    assert not untested


def test_exceptions_name_files_that_exist() -> None:
    files = {str(path) for path in tracked(".py")}
    for source, test in TESTED_ELSEWHERE.items():
        assert source in files, f"{source} is gone: take it off the list"
        assert test in files, f"{test}, said to cover {source}, is gone"

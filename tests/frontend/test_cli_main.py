"""The command line itself: help, exit codes, quick start, completion, Ctrl-C, a closed pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from frontend.cli.main import NOUNS, skyraft
from frontend.cli.options import DURATION, PAIR, SIZE
from tests.frontend.cli_runner import done, run

COMMAND = [sys.executable, "-m", "frontend.cli.main"]


def completed(config: Path, *words: str) -> list[str]:
    """What bash is offered for the last of *words*."""
    environment = {
        **os.environ,
        "SKYRAFT_CONFIG": str(config),
        "_SKYRAFT_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["skyraft", *words]),
        "COMP_CWORD": str(len(words)),
    }
    ended = subprocess.run(COMMAND, env=environment, capture_output=True, text=True)
    assert ended.stderr == ""
    return [line.partition(",")[2] for line in ended.stdout.split()]


def verbs() -> list[tuple[str, ...]]:
    """Every verb there is, as its words."""
    ctx = click.Context(skyraft)
    words: list[tuple[str, ...]] = [(name,) for name in skyraft.commands]
    for noun in NOUNS:
        group = skyraft.get_command(ctx, noun)
        assert isinstance(group, click.Group)
        words += [(noun, verb) for verb in group.commands]
    return words


def test_help_lists_every_noun() -> None:
    text = done("--help").out
    assert all(f"  {noun} " in text for noun in NOUNS)


@pytest.mark.parametrize("words", verbs(), ids=" ".join)
def test_every_verb_explains_itself_and_takes_the_common_options(words: tuple[str, ...]) -> None:
    text = done(*words, "--help").out
    for option in ("--output", "--context", "--config", "Common options:"):
        assert option in text
    assert max(map(len, text.splitlines())) <= 80


def test_mutations_take_a_request_id() -> None:
    reads = {"list", "show", "watch", "console", "status", "init", "certificate", "transfer"}
    for words in verbs():
        if words[0] not in ("context", *skyraft.commands) and words[-1] not in reads:
            assert "--request-id" in done(*words, "--help").out, words


@pytest.mark.parametrize(
    "words", [("frob",), ("vm", "frob"), ("vm", "show"), ("vm", "list", "--frob"), ("-o", "xml")]
)
def test_wrong_usage_exits_with_2_and_names_the_help(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.code == 2
    assert result.err.startswith("skyraft: usage: ")
    assert "--help" in result.err.splitlines()[1]
    assert result.out == ""


def test_version_is_the_distributions() -> None:
    assert done("version").out.startswith("skyraft ")
    assert set(done("version", "-o", "json").json) == {"version"}
    assert done("--version").out == done("version").out


def test_options_may_stand_before_the_noun(tmp_path: Path) -> None:
    result = run("--config", tmp_path / "none.toml", "-o", "json", "context", "list")
    assert result.json == []


def test_help_loads_neither_grpc_nor_messages() -> None:
    check = (
        "import sys; from frontend.cli.main import main; main(['--help']);"
        "heavy = {'grpc', 'google.protobuf', 'rich', 'cryptography', 'yaml'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_asks_skyraft_itself(shell: str) -> None:
    script = done("completion", shell).out
    assert "_SKYRAFT_COMPLETE" in script


def test_bash_completes_nouns_verbs_options_and_contexts(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[contexts.work]\naddresses = ["h:1"]\nca = "c"\ntoken = "t"\n')
    assert completed(config, "te") == ["template"]
    assert completed(config, "vm", "re") == ["resume", "reboot", "recover"]
    assert "--template" in completed(config, "vm", "create", "--t")
    assert completed(config, "vm", "list", "--context", "w") == ["work"]


def test_completion_of_names_is_empty_where_nobody_answers(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    for text in ("", "current = ["):
        config.write_text(text)
        assert completed(config, "vm", "show", "w") == []


def test_reader_that_had_enough_ends_the_command_quietly() -> None:
    with subprocess.Popen(
        [*COMMAND, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == ""
    assert child.returncode in (0, 141)


def test_interrupt_ends_the_command_with_130(tmp_path: Path) -> None:
    fifo = tmp_path / "document"
    os.mkfifo(fifo)
    config = tmp_path / "config.toml"
    config.write_text('current = "a"\n[contexts.a]\naddresses = ["h:1"]\nca = "c"\ntoken = "t"\n')
    words = ["context", "add", "b", "--address", "h:1", "--ca", __file__, "--token-file", str(fifo)]
    with (
        subprocess.Popen(
            [*COMMAND, *words, "--config", str(config)],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as child,
        fifo.open("w"),
    ):  # opens when the command reads: it waits for the token now
        child.send_signal(signal.SIGINT)
        assert child.stderr is not None
        assert "Traceback" not in child.stderr.read()
    assert child.returncode == 130


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("512", 512),
        ("4K", 4096),
        ("10G", 10 << 30),
        ("10GiB", 10 << 30),
        ("1tb", 1 << 40),
    ],
)
def test_sizes_are_read_with_binary_units(text: str, count: int) -> None:
    assert SIZE.convert(text, None, None) == count


@pytest.mark.parametrize("text", ["", "G", "-1", "1.5G", "10X", "1G1", "٣"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        SIZE.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("15m", 900), ("2h", 7200), ("7d", 604800)]
)
def test_durations_are_read_with_units(text: str, seconds: int) -> None:
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "h", "1.5h", "2w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        DURATION.convert(text, None, None)


def test_pairs_split_at_the_first_equals_sign() -> None:
    assert PAIR.convert("a=b=c", None, None) == ("a", "b=c")
    assert PAIR.convert("a=", None, None) == ("a", "")
    with pytest.raises(click.BadParameter):
        PAIR.convert("=b", None, None)

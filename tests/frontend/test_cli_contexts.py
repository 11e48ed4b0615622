"""The contexts file: read strictly, written as a whole and for its owner alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from frontend.cli.contexts import Context, Contexts, default_path, load
from frontend.cli.errors import EXIT_USAGE, CliError
from tests.frontend.cli_runner import done, run

GOOD = """
current = "work"
[contexts.work]
addresses = ["10.0.0.1:7002", "10.0.0.2:7002"]
ca = "ca.crt"
certificate = "ann.crt"
key = "/etc/ann.key"
[contexts.home]
addresses = ["10.0.0.1:7003"]
ca = "/etc/ca.crt"
token = "skyraft.0.secret"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    return path


def test_relative_paths_count_from_the_files_directory(file: Path) -> None:
    context = load(file).pick(None)
    assert context.name == "work"
    assert context.ca == file.parent / "ca.crt"
    assert context.key == Path("/etc/ann.key")


def test_named_context_wins_over_the_current_one(file: Path) -> None:
    assert load(file).pick("home").token == "skyraft.0.secret"


def test_what_is_saved_is_read_again(file: Path) -> None:
    before = load(file)
    before.save()
    assert load(file) == before


def test_saved_file_is_for_its_owner_alone_and_replaced_as_a_whole(file: Path) -> None:
    file.chmod(0o644)
    load(file).save()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_first_context_becomes_current_and_removing_it_leaves_none(tmp_path: Path) -> None:
    entry = Context(name="a", addresses=("h:1",), ca=tmp_path / "ca", token="t")
    contexts = Contexts(path=tmp_path / "new" / "config.toml").with_entry(entry)
    contexts.save()
    assert load(contexts.path).current == "a"
    assert load(contexts.path).without("a").current == ""


def test_missing_file_has_no_contexts_and_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="no context is configured") as caught:
        load(tmp_path / "none.toml").pick(None)
    assert caught.value.exit_code == EXIT_USAGE
    assert "skyraft cluster init" in caught.value.next_step


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("current = [", "not valid TOML"),
        ('current = "x"\ncontexts = 3', "`contexts` is a table"),
        ('[contexts.a]\nca = "c"\ntoken = "t"', "addresses is not a list"),
        ('[contexts.a]\naddresses = []\nca = "c"\ntoken = "t"', "addresses is empty"),
        ('[contexts.a]\naddresses = ["h:1"]\ntoken = "t"', "ca is missing"),
        ('[contexts.a]\naddresses = ["h:1"]\nca = "c"', "neither a token nor a certificate"),
        ('[contexts.a]\naddresses = ["h:1"]\nca = "c"\ncertificate = "x"', "neither a token"),
        ('[contexts.a]\naddresses = ["h:1"]\nca = "c"\ntokem = "t"', "unknown key 'tokem'"),
        ('[contexts.a]\naddresses = ["h:1"]\nca = 3\ntoken = "t"', "ca is not a string"),
    ],
)
def test_bad_file_names_itself_and_the_fault(tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(CliError) as caught:
        load(path)
    assert cause in caught.value.cause
    assert str(path) in f"{caught.value.cause} {caught.value.next_step}"
    assert caught.value.exit_code == EXIT_USAGE


def test_environment_names_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SKYRAFT_CONFIG", str(tmp_path / "mine.toml"))
    assert default_path() == tmp_path / "mine.toml"


def test_contexts_are_listed_shown_used_and_removed(file: Path) -> None:
    listed = done("context", "list", "-o", "json", config=file).json
    assert [(row["name"], row["current"]) for row in listed] == [("work", True), ("home", False)]
    done("context", "use", "home", config=file)
    assert done("context", "show", "-o", "json", config=file).json["name"] == "home"
    done("context", "remove", "home", config=file)
    assert [row["name"] for row in done("context", "list", "-o", "json", config=file).json] == [
        "work"
    ]


def test_a_tokens_secret_is_never_shown(file: Path) -> None:
    for form in ("table", "json", "yaml"):
        assert "skyraft.0." not in done("context", "show", "home", "-o", form, config=file).out


def test_token_is_added_from_standard_input(file: Path) -> None:
    ca = file.parent / "ca.crt"
    ca.write_text("pem")
    words = ("context", "add", "third", "--address", "h:1", "--ca", ca, "--token-file", "-")
    done(*words, config=file, stdin="skyraft.0.s2\n")
    assert load(file).pick("third").token == "skyraft.0.s2"
    again = run(*words, config=file, stdin="x")
    assert again.code == 1
    assert "already_exists" in again.err
    done(*words, "--replace", config=file, stdin="skyraft.0.s3")
    assert load(file).pick("third").token == "skyraft.0.s3"


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["--address", "nowhere"], "not host:port"),
        (["--address", "h:1", "--certificate", "CA"], "--certificate with --key"),
    ],
)
def test_incomplete_context_is_not_added(file: Path, words: list[str], cause: str) -> None:
    ca = file.parent / "ca.crt"
    ca.write_text("pem")
    options = [str(ca) if word == "CA" else word for word in words]
    if "--certificate" not in words:
        options += ["--token-file", "-"]
    result = run("context", "add", "x", "--ca", ca, *options, config=file, stdin="t")
    assert result.code == 2
    assert cause in result.err
    assert "x" not in load(file).entries


def test_unwritable_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    contexts = Contexts(path=tmp_path / "file" / "config.toml")
    with pytest.raises(CliError, match="cannot write") as caught:
        contexts.save()
    assert caught.value.exit_code == EXIT_USAGE

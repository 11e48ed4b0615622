"""What all verbs share: the options every command has, argument types, and the objects they
stand for (connection and output of this very call)."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from frontend.cli.nouns import Noun
from frontend.cli.output import FORMS, TABLE, Output

if TYPE_CHECKING:
    from frontend.cli.connection import Connection
    from frontend.cli.contexts import Context, Contexts

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # generic only in the newest releases of click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
_CONNECTION = "frontend.cli.connection"
_COMPLETION_TIMEOUT_S = 1.0
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(slots=True)
class Invocation:
    """The options that may stand before or after the noun and the verb."""

    config: str | None = None
    context: str | None = None
    output: str = TABLE


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is not None:
        setattr(ctx.ensure_object(Invocation), str(param.name), value)


def _context_names(ctx: click.Context, param: click.Parameter, text: str) -> list[str]:
    from frontend.cli.errors import CliError

    try:
        with ctx:
            return [name for name in contexts().entries if name.startswith(text)]
    except CliError:
        return []


def common_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["-o", "--output"],
            type=click.Choice(FORMS),
            help="Form of what is printed; json and yaml have every field.",
            expose_value=False,
            callback=_keep,
        ),
        click.Option(
            ["--context"],
            metavar="NAME",
            help="Front-end and identity to use instead of the current context.",
            expose_value=False,
            callback=_keep,
            shell_complete=_context_names,
        ),
        click.Option(
            ["--config"],
            metavar="FILE",
            type=click.Path(dir_okay=False),
            help="Contexts file  [default: $SKYRAFT_CONFIG, ~/.config/skyraft/config.toml]",
            expose_value=False,
            callback=_keep,
        ),
    ]


class Verb(click.Command):
    """A command with the common options, listed apart from its own in the help."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._common = common_options()
        self.params.extend(self._common)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            if isinstance(param, click.Argument):
                continue  # the usage line and the text above tell
            line = param.get_help_record(ctx)
            if line is not None:
                shared = param in self._common or param.name == "help"
                (common if shared else own).append(line)
        for title, lines in (("Options", own), ("Common options", common)):
            if lines:
                with formatter.section(title):
                    formatter.write_dl(lines)


class NounGroup(click.Group):
    """`skyraft vm`: its verbs are listed in the order in which they are defined."""

    command_class = Verb

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def contexts() -> Contexts:
    """The contexts file of this call."""
    from frontend.cli import contexts as files

    chosen = _invocation().config
    return files.load(Path(chosen) if chosen else None)


def context() -> Context:
    """The context of this call. Usage error if there is none."""
    return contexts().pick(_invocation().context)


def connect() -> Connection:
    """To the replicas of this call's context: one a command, closed when that ends."""
    from frontend.cli.connection import Connection

    ctx = click.get_current_context()
    if _CONNECTION not in ctx.meta:
        connection = Connection(context(), on_reconnect=_say_reconnect)
        ctx.call_on_close(connection.close)
        ctx.meta[_CONNECTION] = connection
    opened: Connection = ctx.meta[_CONNECTION]
    return opened


def output() -> Output:
    return Output(_invocation().output)


def _invocation() -> Invocation:
    return click.get_current_context().ensure_object(Invocation)


def _say_reconnect(cause: str) -> None:
    click.echo(f"skyraft: {cause}; going on with another replica", err=True)


class ObjectParam(ParamType):
    """A name or an id of *noun*; the shell completes names."""

    name = "name|id"

    def __init__(self, noun: Noun) -> None:
        self.noun = noun

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return self.noun.name.upper()

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from frontend.cli.connection import Connection
        from frontend.cli.errors import CliError

        try:
            with ctx:
                connection = Connection(context(), timeout_s=_COMPLETION_TIMEOUT_S)
            page = connection.call(self.noun, "List", page_size=1000, stale=True)
        except CliError:
            return []  # a completion must never disturb the line that is being typed
        names = (item.name for item in getattr(page, self.noun.plural))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class PairParam(ParamType):
    """KEY=VALUE."""

    name = "key=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, rest = str(value).partition("=")
        if not equals or not key:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, rest


class SizeParam(ParamType):
    """Bytes, with an optional binary unit: 512M, 10G, 10GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).strip().upper().removesuffix("B").removesuffix("I")
        number = text.rstrip("KMGT")
        unit = text[len(number) :]
        if not number.isascii() or not number.isdigit() or unit not in _SIZE_UNITS:
            self.fail(f"{value!r} is not a size: write 512M or 10G", param, ctx)
        return int(number) << _SIZE_UNITS[unit]


class DurationParam(ParamType):
    """Whole seconds, with an optional unit: 90s, 15m, 2h, 7d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).strip().lower()
        number, unit = (text[:-1], text[-1:]) if text[-1:] in _SECONDS else (text, "s")
        if not number.isascii() or not number.isdigit():
            self.fail(f"{value!r} is not a duration: write 90s, 15m, 2h or 7d", param, ctx)
        return int(number) * _SECONDS[unit]


PAIR = PairParam()
SIZE = SizeParam()
DURATION = DurationParam()


def objects_argument(noun: Noun) -> Callable[[Decorated], Decorated]:
    """One or several objects; the function gets them as `targets`."""
    return click.argument(
        "targets",
        nargs=-1,
        required=True,
        type=ObjectParam(noun),
        metavar=f"{noun.name.upper()}...",
    )


def object_argument(noun: Noun) -> Callable[[Decorated], Decorated]:
    """One object; the function gets it as `target`."""
    return click.argument("target", type=ObjectParam(noun), metavar=noun.name.upper())


def stale_option(function: Decorated) -> Decorated:
    return click.option(
        "--stale",
        is_flag=True,
        help="Answer from what the asked replica has now, without asking the leader.",
    )(function)


def watch_option(function: Decorated) -> Decorated:
    return click.option(
        "-w", "--watch", is_flag=True, help="Keep what is shown up to date until Ctrl-C."
    )(function)


def list_options(function: Decorated) -> Decorated:
    page = click.option(
        "--page-size",
        type=click.IntRange(1, 1000),
        default=500,
        show_default=True,
        help="Objects asked for at a time; all pages are printed.",
    )
    return watch_option(stale_option(page(function)))


def request_id_option(function: Decorated) -> Decorated:
    return click.option(
        "--request-id",
        metavar="ID",
        callback=lambda ctx, param, value: value or uuid.uuid4().hex,
        help="Repeat a request whose outcome is unknown: it happens once at most.",
    )(function)


def wait_options(function: Decorated) -> Decorated:
    timeout = click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        default=300.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait; exit code 3 after that.",
    )
    wait = click.option("--wait", is_flag=True, help="Return when it is done, showing progress.")
    return wait(timeout(function))


def revision_option(function: Decorated) -> Decorated:
    return click.option(
        "--expected-revision",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="Refuse unless the object still has this revision.",
    )(function)


def label_options(function: Decorated) -> Decorated:
    """What an update may change in every object's labels."""
    add = click.option(
        "--label", "labels", multiple=True, type=PAIR, help="Set a label (repeatable)."
    )
    remove = click.option(
        "--remove-label", "remove_labels", multiple=True, metavar="KEY", help="Take a label away."
    )
    return add(remove(function))


def interactive() -> bool:
    """Whether a person watches standard error, so that progress may move there."""
    return sys.stderr.isatty()

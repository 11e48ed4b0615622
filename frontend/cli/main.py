"""The root of `skyraft`: finds the noun, runs the verb, turns its end into an exit code.

A noun's module is imported when the noun is used, so that help and completion are quick."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from frontend.cli.errors import EXIT_INTERRUPTED, EXIT_USAGE, CliError
from frontend.cli.options import Invocation, Verb, common_options, output

NOUNS = {
    "cluster": "The front-end's replicas, and the clusters of hosts.",
    "host": "The machines that run guests.",
    "image": "The read-only contents of disks.",
    "template": "What VMs are made from.",
    "vm": "Virtual machines.",
    "event": "The log of what changed.",
    "token": "Tokens of users and of hosts that join.",
    "context": "Which front-end to talk to, and as whom.",
}
"""Noun, also its module, -> what the help of the root says of it."""

EXIT_PIPE = 141
"""As a shell reports SIGPIPE: the reader (head, less) had enough."""

_COMPLETE_VARIABLE = "_SKYRAFT_COMPLETE"


class Root(click.Group):
    """Nouns by module, then the commands of the root itself."""

    command_class = Verb

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*NOUNS, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in NOUNS:
            module = importlib.import_module(f"frontend.cli.{cmd_name}")
            found: click.Command = getattr(module, cmd_name)
            return found
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Nouns"):
            formatter.write_dl(list(NOUNS.items()))
        with formatter.section("Other commands"):
            formatter.write_dl(
                [(name, found.get_short_help_str()) for name, found in self.commands.items()]
            )


@click.group(
    cls=Root,
    params=common_options(),
    context_settings={"help_option_names": ["-h", "--help"], "obj": None},
    epilog="Exit codes: 0 done, 1 rejected, 2 usage, 3 nobody answered or outcome unknown.",
)
@click.version_option(package_name="skyraft", message="skyraft %(version)s")
@click.pass_context
def skyraft(ctx: click.Context) -> None:
    """A cloud front-end that does not go down.

    \b
      skyraft cluster status
      skyraft vm create web --template debian --wait
      skyraft vm list -o json
    """
    ctx.ensure_object(Invocation)


@skyraft.command()
@click.option("-w", "--watch", is_flag=True, help="Keep it up to date until Ctrl-C.")
def status(watch: bool) -> None:
    """Short for `cluster status`."""
    from frontend.cli import status as view

    view.show(watch=watch)


@skyraft.command()
def version() -> None:
    """Print the version of this client."""
    from importlib.metadata import version as installed

    printer = output()
    if printer.form == "table":
        printer.text(f"skyraft {installed('skyraft')}\n")
    else:
        printer.record({"version": installed("skyraft")})


@skyraft.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
      bash, in ~/.bashrc:   eval "$(skyraft completion bash)"
      zsh, in ~/.zshrc:     eval "$(skyraft completion zsh)"
      fish:  skyraft completion fish > ~/.config/fish/completions/skyraft.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    output().text(found(skyraft, {}, "skyraft", _COMPLETE_VARIABLE).source() + "\n")


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    try:
        code = skyraft.main(
            args=args,
            prog_name="skyraft",
            standalone_mode=False,
            complete_var=_COMPLETE_VARIABLE,
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except CliError as error:
        return _fail(f"{error.reason}: {error.cause}", error.next_step, error.exit_code)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else "skyraft"
        return _fail(f"usage: {error.format_message()}", f"`{path} --help`", EXIT_USAGE)
    except click.ClickException as error:
        return _fail(f"usage: {error.format_message()}", "`skyraft --help`", EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("", err=True)
        return EXIT_INTERRUPTED
    except (BrokenPipeError, SystemExit):
        if _COMPLETE_VARIABLE in os.environ:
            raise  # click ends a completion like this
        # Click turns a closed pipe into exit code 1, which here means rejected. And Python would
        # complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE


def _fail(cause: str, next_step: str, code: int) -> int:
    click.echo(f"skyraft: {' '.join(cause.split())}", err=True)
    click.echo(f"  next: {next_step}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())

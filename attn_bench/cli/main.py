"""The program: finds the command by its name, and turns every outcome into an exit status."""

from __future__ import annotations

import importlib
import pkgutil
import signal
import sys
from collections.abc import Sequence

import click

from attn_bench import __version__, cli
from attn_bench.cli import streams
from attn_bench.model.errors import AttnBenchError, RequestError, nearest
from attn_bench.model.status import Exit
from attn_bench.view.console import plain

# Every other file of this room is a command; the file has the name of the command.
SHARED_FILES = frozenset({"answers", "main", "options", "streams"})


class Commands(click.Group):
    """The commands, one for each file of this room; only the requested one is imported."""

    def list_commands(self, context: click.Context) -> list[str]:
        names = {module.name for module in pkgutil.iter_modules(cli.__path__)}
        return sorted(names - SHARED_FILES)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        known = self.list_commands(context)
        if name in known:
            command: click.Command = importlib.import_module(f"{cli.__name__}.{name}").command
            return command
        if context.resilient_parsing:
            return None
        raise RequestError(f"unknown command {name!r}{nearest(name, known)}")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="attn-bench")
@click.option("--debug", is_flag=True, help="Show a traceback with an error.")
def commands(debug: bool) -> None:
    """Find the attention module, extent and stage to use, and what they cost on this machine."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program. Returns the exit status; see `attn-bench --help`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    streams.make_usable()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores a hang-up
            signal.signal(number, signal.default_int_handler)
    try:
        return _run_command(words)
    except click.ClickException as problem:
        plain.error(" ".join(problem.format_message().split()))
        return Exit.BAD_REQUEST
    except AttnBenchError as problem:
        if "--debug" in words:
            raise
        plain.error(str(problem))
        return problem.exit_status
    except OSError as problem:
        streams.give_up_stdout()
        plain.error(f"the output cannot be written: {problem.strerror}")
        return Exit.NOT_MEASURED
    except (click.Abort, KeyboardInterrupt):
        plain.error("interrupted")
        return Exit.INTERRUPTED


def _run_command(words: Sequence[str]) -> int:
    for word in words:
        if not word.isprintable():
            raise RequestError(f"argument {word!r} contains characters that cannot be printed")
    ending = commands.main(words or ["--help"], prog_name="attn-bench", standalone_mode=False)
    sys.stdout.flush()
    return int(ending or Exit.GOOD) if words else Exit.BAD_REQUEST

"""Caffe's ways to write a flag, turned into the one way that click reads.

Caffe takes ``-model x``, ``--model x``, ``-model=x`` and ``--model=x`` for one thing. Here a
hyphen inside a name also stands for an underscore: ``--forward-only`` is ``--forward_only``.
"""

import difflib
from collections.abc import Iterator, Sequence

import click

_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")


class CaffeCommand(click.Command):
    """A command whose flags may be written in any of Caffe's spellings."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite the flags, then let click read them."""
        return super().parse_args(ctx, rewrite(args, self.get_params(ctx), ctx))


class CaffeGroup(click.Group):
    """A group of commands whose own flags may be written in any of Caffe's spellings."""

    command_class = CaffeCommand

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite the flags in front of the command's name, then let click read them."""
        count = next((i for i, word in enumerate(args) if not _is_flag(word)), len(args))
        own = rewrite(args[:count], self.get_params(ctx), ctx)
        return super().parse_args(ctx, own + args[count:])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the one that was probably meant."""
        if self.get_command(ctx, args[0]) is None:
            near = nearest(args[0], self.list_commands(ctx))
            raise click.UsageError(f"{args[0]}: expected {near}", ctx)
        return super().resolve_command(ctx, args)


def rewrite(
    arguments: Sequence[str], params: Sequence[click.Parameter], ctx: click.Context | None = None
) -> list[str]:
    """Write each flag as ``--name`` or ``--name=value``, with underscores.

    Parameters
    ----------
    arguments : sequence of str
        What stands after the command's name.
    params : sequence of click.Parameter
        The flags that the command knows.
    ctx : click.Context, optional
        For the message of an error.

    Returns
    -------
    list of str
        The same arguments; values are left as they are.

    Raises
    ------
    click.UsageError
        If there is no such flag; the nearest one is named.
    """
    known = {
        spelling.lstrip("-").replace("-", "_"): (spelling, param)
        for param in params
        if isinstance(param, click.Option)
        for spelling in (*param.opts, *param.secondary_opts)
    }
    words = iter(arguments)
    result: list[str] = []
    for word in words:
        if word == "--" or not _is_flag(word):
            result += [word, *words] if word == "--" else [word]
        else:
            result += _rewrite_flag(word, words, known, ctx)
    return result


def _rewrite_flag(
    word: str,
    words: Iterator[str],
    known: dict[str, tuple[str, click.Option]],
    ctx: click.Context | None,
) -> list[str]:
    name, equals, value = word.partition("=")
    key = name.lstrip("-").replace("-", "_")
    positive = known.get(key.removeprefix("no"))
    if key not in known and positive and positive[1].is_flag and not equals:
        return []  # as gflags takes --noshuffle for --shuffle=false
    if key not in known:
        near = nearest(key, [k for k in known if len(k) > 1], "--")
        raise click.UsageError(f"{name}: expected {near}", ctx)
    spelling, option = known[key]
    if not option.is_flag:
        given = value if equals else next(words, None)
        if given is None:
            return [spelling]
        return [f"{spelling}={given}"] if spelling.startswith("--") else [spelling, given]
    if not equals or value.lower() in _TRUE:
        return [spelling]
    if value.lower() in _FALSE:
        return []
    raise click.UsageError(f"{name}: expected true or false, got {value!r}", ctx)


def nearest(word: str, names: Sequence[str], prefix: str = "") -> str:
    """Return the name most like `word`, or all of them if none is."""
    likely = difflib.get_close_matches(word, names, 1)
    return prefix + likely[0] if likely else ", ".join(prefix + name for name in names)


def _is_flag(word: str) -> bool:
    return len(word) > 1 and word.startswith("-")

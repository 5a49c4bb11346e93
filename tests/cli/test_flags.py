"""Flags: the four spellings of Caffe, hyphens for underscores, and what is refused."""

import click
import pytest

from sscaffe.cli.flags import CaffeCommand, CaffeGroup

SPELLINGS = ["-max_side 5", "--max_side 5", "-max_side=5", "--max_side=5"]


@click.command(cls=CaffeCommand)
@click.option("--max_side", default=0)
@click.option("--weights", default="")
@click.option("--forward_only", is_flag=True)
def command(**flags):
    return flags


@click.group(cls=CaffeGroup)
def group():
    pass


group.add_command(command, "measure")


def read(words, of=command):
    if isinstance(words, str):
        words = words.split()
    return of.main(words, standalone_mode=False)


@pytest.mark.parametrize("hyphen", [False, True], ids=["underscore", "hyphen"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_value_in_all_spellings(spelling, hyphen):
    words = spelling.replace("_", "-") if hyphen else spelling
    assert read(words)["max_side"] == 5


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_all_spellings_below_a_group(spelling):
    assert read(f"measure {spelling}", group)["max_side"] == 5


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-forward_only", True),
        ("--forward_only", True),
        ("--forward-only", True),
        ("-forward_only=true", True),
        ("--forward_only=1", True),
        ("-forward_only=false", False),
        ("", False),
    ],
)
def test_a_switch_in_all_spellings(words, expected):
    assert read(words)["forward_only"] is expected


@pytest.mark.parametrize(
    "value", ["-5", "--forward_only", "a=b", "-x=-y", "", "a,b.caffemodel", "with space"]
)
def test_a_value_is_left_as_it_is(value):
    assert read(["-weights", value])["weights"] == value
    assert read([f"--weights={value}"])["weights"] == value


def test_a_switch_takes_no_word_after_it():
    flags = read("-forward_only -max_side 7")
    assert flags["forward_only"]
    assert flags["max_side"] == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-weigths x", r"-weigths: expected --weights$"),
        ("--forward-onyl", r"--forward-onyl: expected --forward_only$"),
        ("-zzz", r"-zzz: expected --max_side, --weights, --forward_only, --help$"),
        ("-forward_only=maybe", r"-forward_only: expected true or false, got 'maybe'"),
        ("stray", r"unexpected extra argument"),
    ],
)
def test_an_unknown_flag_is_refused(words, message):
    with pytest.raises(click.UsageError, match=message):
        read(words)


def test_an_unknown_command_is_refused():
    with pytest.raises(click.UsageError, match=r"mesure: expected measure$"):
        read("mesure -max_side 5", group)


def test_a_flag_without_its_value_is_refused():
    with pytest.raises(click.UsageError, match="'--max_side' requires an argument"):
        read("-max_side")


@pytest.mark.parametrize("words", ["-n 4", "-n=4", "--n 4"])
def test_a_flag_of_one_letter(words):
    @click.command(cls=CaffeCommand)
    @click.option("-n", "count", type=int)
    def counted(count):
        return count

    assert read(words, of=counted) == 4

"""The reader of terminal sessions."""

from pathlib import Path

import pytest
from fleet import samples

from installed.console import commands, filled

TEXT = """\
root@trace:~# enroll --colo den01
Paste this line:
colotrace-agent join ctj_abc-1
you@laptop:~$ while read -r host; do
>   ssh "$host" true
> done < hosts
> not a command
root@trace:/etc# ls
"""


def test_commands_have_their_host_and_their_lines() -> None:
    typed = [(each.user, each.host, each.command) for each in commands("page:1", TEXT)]
    assert typed == [
        ("root", "trace", "enroll --colo den01"),
        (
            "you",
            "laptop",
            'while read -r host; do\n  ssh "$host" true\ndone < hosts\nnot a command',
        ),
        ("root", "trace", "ls"),
    ]


def test_what_a_command_shows_is_kept() -> None:
    shown = [each.shown for each in commands("page:1", TEXT)]
    assert shown == ["Paste this line:\ncolotrace-agent join ctj_abc-1\n", "", ""]


def test_an_omitted_word_is_the_last_that_was_printed() -> None:
    assert filled("join ctj_…", "join ctj_old\njoin ctj_new-2\n") == "join ctj_new-2"
    with pytest.raises(ValueError, match="no earlier command printed ctj_"):
        filled("join ctj_…", "nothing")


def test_every_session_is_on_a_page() -> None:
    """A `console` block without a command would never be run."""
    for sample in samples.samples():
        if sample.language == "console":
            assert commands(sample.where, sample.text), sample.where
            assert (Path(samples.ROOT) / sample.where.rpartition(":")[0]).exists()

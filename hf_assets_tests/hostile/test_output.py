"""What strangers wrote does nothing where it is printed, logged or drawn."""

import subprocess
import sys

import dagster as dg
import pyarrow as pa
import pytest

from hf_assets import inert
from hf_assets.cli.options import say
from hf_assets.draw import html, markdown
from hf_assets.errors import ConfigError, DatasetError, MediaError
from hf_assets.orchestrate import logs, results

TITLE = "\x1b]0;own title\x07"
CONTROLS = [
    "\0",
    "\x07",
    "\b",
    "\r",
    TITLE,
    "\x1b[2J",
    "\x7f",
    "\x9b31m",
    "\u202e",
    "\u2066",
    "\u200f",
    "\u2028",
    "\ud800",
]


@pytest.mark.parametrize("control", CONTROLS)
def test_controls_show_and_do_nothing(control: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"q{control}z"
    say(name)
    lines: list[str] = []

    class Context:
        class log:
            info = lines.append

    logs.say(Context)(name)
    page = html.page(html.Head(name, name), [html.Section(name, [name, html.Table([name], [[name]])])])
    errors = [str(DatasetError(name)), str(MediaError("bad", name)), ConfigError(name, name).located]
    shown = [capsys.readouterr().out, *lines, page, markdown.escape(name), *errors]
    for text in shown:
        assert not {character for character in control if not character.isprintable()} & set(text), ascii(text)
        assert "qz" not in text


def test_text_of_people_stays_as_it_is() -> None:
    for text in ("Größe, 大きさ, שלום, 👩\u200d🎨, e\u0301", "a\tb\nc"):
        assert inert.text(text) == text


@pytest.mark.parametrize(
    "link", ["https://evil.example/x", "HTTP://evil.example", "www.evil.example", "me@evil.example"]
)
def test_captions_are_no_links_in_the_page(link: str) -> None:
    (line,) = markdown.examples(pa.table({"row": [1], "captions": [[f"see {link}"]]})).splitlines()[2:]
    read = "".join(chr(int(part[2:-1])) if part.startswith("&#") else part for part in split_entities(line))
    assert "\u200b" in read
    for mark in ("://", "www.", "@"):
        at = read.lower().find(mark)
        assert at < 0 or read[at + len(mark)] == "\u200b"


def split_entities(line: str) -> list[str]:
    parts, rest = [], line
    while (at := rest.find("&#")) >= 0:
        end = rest.index(";", at) + 1
        parts += [rest[:at], rest[at:end]]
        rest = rest[end:]
    return [*parts, rest]


def test_cells_of_a_report_are_cut() -> None:
    caption = "<b>" * 7_000_000
    page = html.page(html.Head("x", "x"), [html.Section("x", [html.Table(["caption"], [[caption]] * 20)])])
    assert len(page) < 500_000
    assert len(markdown.escape(caption)) < 5_000


LIBRARIES = """
import logging, sys, threading, warnings
from hf_assets.cli import app
from hf_assets.cli.program import program

NAME = "q\x1b]0;own title\x07z"

@app.command()
def probe() -> None:
    logging.getLogger("library").warning("no %s here", NAME)
    try:
        raise ValueError(NAME + "2")
    except ValueError:
        logging.getLogger("library").exception("failed")
    warnings.warn(NAME + "3")
    thread = threading.Thread(target=lambda: {}[NAME + "\u202e4"])
    thread.start()
    thread.join()
    raise RuntimeError(NAME + "5") from KeyError(NAME + "\x9b6")

program()
"""


def test_what_libraries_log_warn_of_and_fail_with_does_nothing_in_a_terminal() -> None:
    ended = subprocess.run([sys.executable, "-c", LIBRARIES, "probe"], capture_output=True, check=False)
    said = ended.stderr.decode()
    assert ended.returncode == 1
    for shown in (
        r"no q\x1b]0;own title\x07z here",
        r"ValueError: q\x1b]0;own title\x07z2",
        r"UserWarning: q\x1b]0;own title\x07z3",
        r"\u202e4",
        r"RuntimeError: q\x1b]0;own title\x07z5",
        r"\x9b6",
    ):
        assert shown in said
    assert said == inert.text(said)


def test_an_error_of_a_library_in_an_asset_does_nothing_either() -> None:
    @results.fail_in_one_line
    def asset(name: str) -> None:
        raise KeyError(name) if name == "plain" else RuntimeError(f"no {name}")

    with pytest.raises(dg.Failure) as caught:
        asset(TITLE)
    assert caught.value.description == r"RuntimeError: no \x1b]0;own title\x07"
    assert "in asset" in str(caught.value.metadata["traceback"].value)
    assert TITLE not in str(caught.value.metadata["traceback"].value)
    with pytest.raises(KeyError):  # as it is, with its stack
        asset("plain")

"""The page of all commands and options, from their own declarations: `python -m hf_assets.cli.commands_page`."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from hf_assets.cli import app

HEAD = """# Commands

Made by `python -m hf_assets.cli.commands_page`. Exit codes: 0 done, 1 failed, 2 wrong usage or config.
"""


def page() -> str:
    """The whole page."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return "\n".join([HEAD, *(line for name, command in commands.items() for line in _command(name, command))])


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    named = " ".join(map(_argument, arguments))
    yield f"## hf-assets {name}\n"
    yield f"```\nhf-assets {name} {named}".rstrip() + "\n```\n"
    yield from (f"{paragraph}\n" for paragraph in _paragraphs(command.help or ""))
    options = [one for one in command.params if one.param_type_name == "option" and "--help" not in one.opts]
    if options:
        yield "| option | |\n|--|--|"
        for one in options:
            names = ", ".join(f"`{spelling}`" for spelling in (*one.opts, *one.secondary_opts))
            yield f"| {names} | {_text(one.help).replace('|', '&#124;')} |"
        yield ""


def _argument(one: Any) -> str:
    name = one.metavar or one.name.upper()
    return (name if one.required else f"[{name}]") + ("..." if one.nargs == -1 else "")


def _paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a help text, each on one line; lists with an item a line; JSON as code."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        head, *items = re.split(r"\n\s*- ", f"\n{paragraph}" if paragraph.startswith("- ") else paragraph)
        if head.strip():
            name, json, shape = _text(head).partition("JSON: ")
            yield f"{name}{json}`{shape}`" if json else name
        if items:
            yield "\n".join(f"- {_text(item)}" for item in items)


def _text(text: str | None) -> str:
    """One paragraph, without the marks of a terminal's markup."""
    return re.sub(r"\\(\[)", r"\1", " ".join((text or "").split()))


if __name__ == "__main__":
    print(page(), end="")

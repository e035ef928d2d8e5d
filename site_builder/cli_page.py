"""The commands' page, from the command line's own parser."""

from __future__ import annotations

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption


def cli_page() -> str:
    """Return the Markdown of ``reference/cli.md``."""
    from movierec_bench.cli import app

    group = typer.main.get_command(app)
    if not isinstance(group, TyperGroup):
        raise TypeError(f"expected the command line to be a group of commands; found {type(group).__name__}")
    lines = [
        "# Commands",
        "",
        "Written from the program itself; `python -m movierec_bench COMMAND --help` says the same. Every option is also a",
        "keyword of the [Python function](api.md) of the same name. Exit codes: 0 all well; 1 some models failed (the rest are",
        "complete); 2 bad usage, configuration or data, said in one message; 130 stopped with Ctrl-C.",
        "",
    ]
    for name, command in group.commands.items():
        lines += _command(name, command)
    return "\n".join(lines)


def _command(name: str, command: TyperCommand) -> list[str]:
    arguments = [parameter for parameter in command.params if isinstance(parameter, TyperArgument)]
    options = [parameter for parameter in command.params if isinstance(parameter, TyperOption)]
    usage = " ".join(["python -m movierec_bench", name, *(argument.name.upper() for argument in arguments), "[OPTIONS]"])
    lines = [f"## {name}", "", (command.help or "").strip(), "", "```text", usage, "```", ""]
    lines += ["| option | value | default | what it is |", "|---|---|---|---|"]
    for argument in arguments:
        lines.append(f"| `{argument.name.upper()}` | {argument.type.name} | required | {_cell(argument.help or '')} |")
    for option in options:
        value = "" if option.is_flag else option.type.name
        default = "required" if option.required else _default(option)
        names = ", ".join(f"`{written}`" for written in option.opts)
        lines.append(f"| {names} | {value} | {default} | {_cell(option.help or '')} |")
    return [*lines, ""]


def _default(option: TyperOption) -> str:
    if option.is_flag or option.default is None:
        return ""
    return f"`{option.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

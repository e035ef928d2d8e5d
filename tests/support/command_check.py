"""Is a command line of the documentation one that its program would accept? Asks the program's own parser."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path
from typing import Union

import click
import typer
import typer.main
from typer.core import TyperGroup

ROOT = Path(__file__).parents[2]
_OURS = (["python", "-m", "movierec_bench"], ["movierec_bench"])
_SHELL = (
    "cd",
    "ls",
    "cat",
    "head",
    "mkdir",
    "cp",
    "echo",
    "sed",
    "source",
)  # of every shell; what they are told is not checked
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*")


def commands_of(script: str) -> list[list[str]]:
    """Split a shell script into its commands: comments and assignments before a command are dropped."""
    found = []
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and (_ASSIGNMENT.fullmatch(words[0]) or words[0] == "export"):
            words = words[1:]
        for end in [index for index, word in enumerate(words) if word in ("|", ">", "&", "&&")][:1]:
            words = words[:end]
        if words:
            found.append(words)
    return found


def check_command(words: list[str]) -> None:
    """Raise AssertionError, or click's UsageError, unless the program knows this command and all its options."""
    for ours in _OURS:
        if words[: len(ours)] == ours:
            _parse(our_commands(), words[len(ours) :])
            return
    program = words[0]
    if program == "make":
        subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
    elif program == "pip":
        _check_pip(words[1:])
    elif program == "mlflow":
        from mlflow.cli import cli

        _parse(cli, words[1:])
    elif program == "ray":
        from ray.scripts.scripts import cli

        _parse(cli, words[1:])
    elif words[:2] == ["python", "-c"]:
        compile(words[2], "python -c", "exec")
    elif words[:3] == ["python", "-m", "venv"] or words[:2] == ["python", "-m"] and words[2].startswith("benchmarks"):
        assert importlib.util.find_spec(words[2]) is not None, f"there is no module {words[2]}"
    else:
        assert program in _SHELL, f"no check is known for {shlex.join(words)!r}; add one to {Path(__file__).name}"


def check_options(code: str) -> None:
    """Check the command and every ``--option`` of a synopsis such as ``python -m movierec_bench run [--budget S]``."""
    words = code.split()
    name = words[3] if len(words) > 3 else ""
    if not re.fullmatch("[a-z]+", name):
        return
    command = our_commands().commands.get(name)
    assert command is not None, f"{code!r}: there is no command {name!r}"
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for option in re.findall(r"--[a-z][\w-]*", " ".join(words[4:])):
        assert option in {*known, "--help"}, f"{code!r}: {name} has no option {option}; it has {sorted(known)}"


def our_commands() -> TyperGroup:
    """Return the command line's commands as typer's parser sees them."""
    from movierec_bench.cli import COMMANDS, build_app

    group = typer.main.get_command(build_app(COMMANDS))
    assert isinstance(group, TyperGroup)
    return group


def _parse(group: Union[TyperGroup, click.Group], arguments: list[str]) -> None:
    """Let click parse a command without running it; help and versions are fine."""
    try:
        context = group.make_context(group.name or "", list(arguments))
        name, command, rest = group.resolve_command(context, [*getattr(context, "_protected_args", ()), *context.args])
        command.make_context(name or "", rest, parent=context)
    except (click.exceptions.Exit, typer.Exit):
        pass


def _check_pip(arguments: list[str]) -> None:
    assert arguments[0] == "install", f"pip {arguments[0]}: only pip install is checked"
    for before, word in zip(arguments, arguments[1:]):
        if before in ("-c", "-r"):
            assert (ROOT / word).is_file(), f"pip install {before} {word}: there is no such file"
        elif extras := re.fullmatch(r"\.\[(.+)\]", word):
            known = (ROOT / "setup.cfg").read_text(encoding="utf-8").split("[options.extras_require]")[1]
            for extra in extras[1].split(","):
                assert re.search(rf"^{extra} =$", known, re.MULTILINE), f"setup.cfg has no extra {extra!r}"

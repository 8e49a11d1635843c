"""Run a command of the kit in this process: a second less each; test_cli.py starts real ones."""

from __future__ import annotations

import io
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from types import SimpleNamespace

import pytest

from kit import cli


def run(*arguments, cwd, typed="", **environment):
    """Return the exit code of a command, and what it says.

    Args:
        arguments: As typed behind `kit`.
        cwd: The folder in which it is typed.
        typed: What is typed when it asks; nobody sits in front.
        environment: Variables that are set meanwhile.
    """
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, chdir(cwd):
        for name, value in ({"COLUMNS": "100", "TERM": "dumb"} | environment).items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["kit", *map(str, arguments)])
        patch.setattr(sys, "stdin", io.StringIO(typed))
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            cli.main()
    code = ended.value.code or 0
    if isinstance(code, str):
        err.write(code + "\n")
        code = 1
    assert "Traceback" not in err.getvalue()
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())

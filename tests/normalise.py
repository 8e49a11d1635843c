"""Run lessons in a fresh kernel and store them in one fixed form.

Usage: ``python tests/normalise.py [notebooks/NN_topic.ipynb ...]``; ``--check`` writes nothing.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parent.parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KEEP = ("tags",)  # the only cell metadata that lessons use
LARGEST_OUTPUT = 4_000  # characters; a learner will not read more
LARGEST_PICTURE = 100_000  # characters of base64; a chart needs half of it
PICTURE = re.compile(r'("image/png": )"[^"]*"')


class Refused(Exception):
    """The lesson must not be stored as it is."""


def normalise(path: Path) -> str:
    """Return the text that *path* should hold.

    Raises:
        Refused: A cell fails, warns, says too much, or names a folder of this computer.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as workspace:
        before = os.environ.get("KIT_WORKSPACE")
        os.environ["KIT_WORKSPACE"] = workspace  # before the kernel starts, which inherits it
        try:
            NotebookClient(
                notebook,
                timeout=60,
                kernel_name="python3",
                record_timing=False,
                coalesce_streams=True,
                resources={"metadata": {"path": str(path.parent)}},
            ).execute()
        except CellExecutionError as error:
            raise Refused(
                f"{path.name}: a cell failed with {error.ename}: {error.evalue}"
            ) from None
        finally:
            if before is not None:
                os.environ["KIT_WORKSPACE"] = before
        private = {
            repr(str(p))[1:-1] for p in (workspace, ROOT, Path.home(), tempfile.gettempdir())
        }
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells, 1):
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in KEEP})
        for output in cell.get("outputs", []):
            output.pop("transient", None)
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
            if output.output_type == "error":  # the traceback holds local paths; nbval skips it
                output.traceback = [f"{output.ename}: {output.evalue}"]
            refuse(f"{path.name}, cell {number}", output, private)
    return nbformat.writes(notebook) + "\n"


def refuse(where: str, output: nbformat.NotebookNode, private: set[str]) -> None:
    """Stop at outputs that must not be stored."""
    picture = output.get("data", {}).get("image/png", "")
    text = str(output).replace(picture, "") if picture else str(output)
    if output.get("name") == "stderr":
        raise Refused(f"{where}: a lesson must not warn; fix the cause of what it writes to stderr")
    if len(text) > LARGEST_OUTPUT:
        raise Refused(f"{where}: output of {len(text)} characters; show less, e.g. with .head()")
    if len(picture) > LARGEST_PICTURE:
        raise Refused(f"{where}: picture of {len(picture)} characters; draw it smaller")
    if any(p in text for p in private):
        raise Refused(f"{where}: output names a folder of this computer; show a relative path")


def same(one: str, other: str) -> bool:
    """Return whether two lessons differ at most in the points of their pictures.

    Another system's fonts and zlib give other bytes for the same chart, so its numbers are
    asserted in the lesson, and the bytes are not compared.
    """
    return PICTURE.sub(r"\1", one) == PICTURE.sub(r"\1", other)


def main(arguments: list[str]) -> None:
    """Rewrite the named lessons, or all of them."""
    check = "--check" in arguments
    paths = [Path(a).resolve() for a in arguments if a != "--check"] or sorted(
        ROOT.glob("notebooks/*.ipynb")
    )
    if not paths:
        sys.exit("no lessons found in notebooks/")
    for path in paths:
        try:
            text = normalise(path)
        except Refused as refusal:
            sys.exit(str(refusal))
        if text == (held := path.read_text(encoding="utf-8")):
            continue
        if check and same(text, held):
            continue
        if check:
            sys.exit(f"{path.name}: not normalised; run tests/normalise.py and read the diff")
        path.write_text(text, encoding="utf-8", newline="\n")
        print(f"rewrote {path.name}")


if __name__ == "__main__":
    main(sys.argv[1:])

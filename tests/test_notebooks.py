"""The lessons promise to run, to be read by everyone, and to fit their time. These are the checks.

nbval compares the stored outputs with a new run; the tests here close its holes.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import nbformat
import normalise
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from kit import files, lesson
from kit.inventory import Inventory

ROOT = Path(__file__).parent.parent
LESSONS = sorted(ROOT.glob("notebooks/*.ipynb"))
SHEETS = [ROOT / f"notebooks/trainer/{name}.md" for name in ("60_minutes", "half_day", "full_day")]
LENGTHS = {"60_minutes": 60, "half_day": 180, "full_day": 360}
TAGS = {"exercise", "nbval-check-output", "nbval-ignore-output", "raises-exception"}
STOPS_OR_ASKS = {"exit", "quit", "input", "getpass", "get_ipython", "system", "sleep"}
MAY_IMPORT = {"kit", "datetime", "inspect", "pathlib", "pandas", "pyarrow", "matplotlib"}
MAY_IMPORT |= {"cryptography", "functools", "hashlib", "zipfile"}  # to attack with
EMPTY_WORDS = {"here", "this", "link", "click here", "this page", "more", "read more"}
WORD = re.compile(r"[A-Za-z0-9][\w'’-]*")

each_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
each_sheet = pytest.mark.parametrize("sheet", SHEETS, ids=lambda p: p.stem)


def cells(path, kind):
    """Return the cells of one kind."""
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


def prose(path):
    """Return all text cells as one string."""
    return "\n\n".join(c.source for c in cells(path, "markdown"))


def plain(text):
    """Return Markdown without its code, marks and link targets: what is read aloud."""
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    text = re.sub(r"`[^`]*`", "code", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"[*_#>|]", " ", text)


def headings(path):
    """Return (level, text) of every heading, in order."""
    return [(len(m[1]), m[2]) for m in re.finditer(r"^(#+) (.+)$", prose(path), re.M)]


def minutes(path):
    """Return total, reading and practising minutes of the **Time** line."""
    line = re.search(r"\*\*Time\*\* (\d+) minutes: (\d+) .*?, (\d+) ", prose(path))
    return tuple(map(int, line.groups()))


def outputs(path):
    """Yield every text a reader sees below a cell."""
    for cell in cells(path, "code"):
        for output in cell.outputs:
            shown = {k: v for k, v in output.get("data", {}).items() if k != "image/png"}
            yield from ("".join(text) for text in [output.get("text"), *shown.values()] if text)


def number_of(path):
    """Return what a lesson's file name begins with, such as 03 or 03b."""
    return path.stem.partition("_")[0]


def run(notebook, path):
    """Execute a changed copy of the lesson at *path*."""
    here = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", coalesce_streams=True, resources=here
    ).execute()


def seen(cell):
    """Return what a reader sees below a cell."""
    return [o.get("text") or o.get("data", {}).get("text/plain") for o in cell.outputs]


def asked(path):
    """Return the exercise names in a lesson, in order."""
    names = []
    for cell in cells(path, "code"):
        if "exercise" in cell.metadata.get("tags", []):
            names.append(re.search(r'lesson\.exercise\("([^"]+)"\)\.check', cell.source)[1])
    return names


# ---- what nbval does not see --------------------------------------------------------------------


def test_there_are_lessons():
    """An empty folder must not pass."""
    assert LESSONS


@each_lesson
def test_stored_run_is_complete(path):
    """Counts are 1..n: without them nbval compares nothing."""
    code = cells(path, "code")

    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))


@each_lesson
def test_code_is_plain_python(path):
    """Bad magics, failing shell lines and exit() pass under nbval; so lessons hold none."""
    for cell in cells(path, "code"):
        tree = ast.parse(cell.source)  # fails on % and !
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        names |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        assert not names & STOPS_OR_ASKS


@each_lesson
def test_expected_errors_are_stored_and_compared(path):
    """A raises-exception cell that stops raising passes, unless both of these hold."""
    for cell in cells(path, "code"):
        if "raises-exception" in cell.metadata.get("tags", []):
            assert "nbval-check-output" in cell.metadata.tags
            assert [o for o in cell.outputs if o.output_type == "error"]


@each_lesson
def test_only_known_tags(path):
    """A misspelt tag does nothing, and nobody notices."""
    for cell in cells(path, "code") + cells(path, "markdown"):
        assert set(cell.metadata.get("tags", [])) <= TAGS


@each_lesson
def test_shown_facts_are_compared_everywhere(path):
    """Printed text does not depend on versions, so the lax tier compares it too."""
    for cell in cells(path, "code"):
        if any(o.output_type == "stream" for o in cell.outputs):
            assert {"nbval-check-output", "exercise"} & set(cell.metadata.get("tags", []))


@pytest.mark.slow  # nbval has compared the outputs by then
@each_lesson
def test_lesson_is_stored_in_its_fixed_form(path):
    """A fresh run gives the stored file, pictures aside: only normalise.py writes lessons."""
    assert normalise.same(normalise.normalise(path), path.read_text(encoding="utf-8"))


def stored(folder, source, name="lesson.ipynb"):
    """Write a notebook of one cell."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    (folder / name).write_text(nbformat.writes(book), encoding="utf-8")
    return folder / name


def test_normalise_check_names_a_lesson_that_differs(tmp_path):
    """Clearing or editing outputs by hand is noticed before a commit."""
    path = stored(tmp_path, "1 + 1")
    before = path.read_text(encoding="utf-8")

    with pytest.raises(SystemExit, match="lesson.ipynb: not normalised"):
        normalise.main([str(path), "--check"])
    assert path.read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param("import pathlib; print(pathlib.Path.home())", "names a folder", id="home"),
        pytest.param("import os; print(os.environ['KIT_WORKSPACE'])", "a folder", id="workspace"),
        pytest.param("1 / 0", "a cell failed with ZeroDivisionError", id="fails"),
    ],
)
def test_normalise_refuses(tmp_path, source, reason):
    """What must not be published is stopped before it is stored."""
    with pytest.raises(normalise.Refused, match=reason):
        normalise.normalise(stored(tmp_path, source))


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        pytest.param("stderr", "careful", "must not warn", id="warning"),
        pytest.param("stdout", "x" * 5_000, "show less", id="too long"),
        pytest.param("stdout", "in C:\\Users\\jane", "names a folder", id="Windows folder"),
    ],
)
def test_normalise_refuses_outputs(name, text, reason):
    """Warnings, heaps and names of folders are not stored."""
    output = nbformat.v4.new_output("stream", name=name, text=text)

    with pytest.raises(normalise.Refused, match=reason):
        normalise.refuse("lesson.ipynb, cell 1", output, {"C:\\\\Users\\\\jane"})


def test_normalise_refuses_a_huge_picture():
    """A chart is tens of kilobytes; a photograph does not belong in a lesson."""
    output = nbformat.v4.new_output("display_data", {"image/png": "A" * 100_001})

    with pytest.raises(normalise.Refused, match="smaller"):
        normalise.refuse("lesson.ipynb, cell 1", output, set())


def test_normalise_compares_all_but_the_points_of_a_picture(tmp_path):
    """Another computer draws the same chart a little differently; a chart that is gone shows."""
    path = stored(tmp_path, "import matplotlib.pyplot as plt\n\nplt.plot([1, 2]);")
    drawn = normalise.normalise(path)
    other = re.sub('("image/png": ")[^"]{9}', r"\1otherones", drawn)

    assert other != drawn
    assert normalise.same(drawn, other)
    assert not normalise.same(drawn, drawn.replace("<Figure", "<No figure"))
    assert not normalise.same(drawn, drawn.replace("image/png", "image/gif"))


def test_nbval_notices_a_changed_output(tmp_path):
    """The strict tier compares: one changed word in a stored output fails."""
    good = stored(tmp_path, "print('paid in cash')")
    good.write_text(normalise.normalise(good), encoding="utf-8")
    text = good.read_text(encoding="utf-8")
    (tmp_path / "bad.ipynb").write_text(text.replace("in cash\\n", "by card\\n"), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", str(tmp_path)]
    command += ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-q"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "1 failed, 1 passed" in done.stdout
    assert "FAILED bad.ipynb" in done.stdout


# ---- length, time, links ------------------------------------------------------------------------


@each_lesson
def test_lesson_has_a_size_people_finish(path):
    """600 to 1,000 words, 10 to 15 code cells of at most 15 lines."""
    code = cells(path, "code")

    assert 600 <= len(WORD.findall(plain(prose(path)))) <= 1_000
    assert 10 <= len(code) <= 15
    assert max(len(c.source.splitlines()) for c in code) <= 15


@each_lesson
def test_minutes_add_up(path):
    """**Time** 35 minutes: 15 to read and run, 20 for the exercises."""
    total, read, practise = minutes(path)

    assert practise == sum(map(int, re.findall(r"^#+ .*\((\d+) min\)$", prose(path), re.M)))
    assert total == read + practise


@each_lesson
def test_minutes_of_exercises_are_those_in_the_headings(path):
    """A trainer reads the heading, a test reads the record: they say the same."""
    said, recorded = [], []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for heading in re.findall(r"^#+ (.*)$", cell.source, re.M):
                timed = re.search(r"\((\d+) min\)$", heading)
                said.append(int(timed[1]) if timed else 0)
                recorded.append(0)
        elif found := re.search(r'lesson\.exercise\("([^"]+)"\)\.check', cell.source):
            recorded[-1] += lesson.exercise(found[1]).minutes

    assert said == recorded


@each_lesson
def test_opening_and_end_follow_the_template(path):
    """A trainer finds goal, need, time, Monday record, recap and next lesson in each lesson."""
    text = prose(path)

    for part in ("**You will**", "**You need**", "**Time**", "**Next:**"):
        assert text.count(part) == 1
    assert [h for _, h in headings(path) if h in ("Monday in your shop", "Recap")] == [
        "Monday in your shop",
        "Recap",
    ]


@each_lesson
def test_links_lead_somewhere(path):
    """A link to a lesson, a record or the glossary opens a file that is there."""
    for target in re.findall(r"\]\(([^)]+)\)", prose(path)):
        if not re.match(r"https?:", target):
            name = target.partition("#")[0].replace("../records/", "monday/")
            assert (path.parent / name).is_file(), target


@each_lesson
def test_lesson_reaches_for_nothing_outside(path):
    """No network, and nothing installed or imported beyond the kit and what it needs."""
    for cell in cells(path, "code"):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                assert {a.name.partition(".")[0] for a in node.names} <= MAY_IMPORT
            if isinstance(node, ast.ImportFrom):
                assert node.module.partition(".")[0] in MAY_IMPORT
        assert "://" not in cell.source


@each_lesson
def test_only_the_learner_writes_functions(path):
    """What a lesson shows comes from the kit, so that people copy tested code."""
    for cell in cells(path, "code"):
        if "exercise" not in cell.metadata.get("tags", []):
            kinds = (ast.FunctionDef, ast.ClassDef, ast.Lambda)
            assert not [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, kinds)]


@each_lesson
def test_lessons_hold_no_card_numbers_and_nobody_real(path):
    """Sources and stored outputs are published: made-up people only, and cards only masked."""
    report = files.scan_files([path], inventory=Inventory.default())
    text = "\n".join([prose(path), *(c.source for c in cells(path, "code")), *outputs(path)])

    assert report.looked_at
    assert not report.card_data
    for address in re.findall(r"@([\w-]+(?:\.[\w-]+)+)", text):
        assert re.fullmatch(r"example\.(com|net|org)", address)
    for number in re.findall(r"\+\d+(?:[ -]\d{2,4})*", text):
        assert re.fullmatch(r"\+1\d{3}55501\d\d", number)


# ---- exercises ----------------------------------------------------------------------------------


def test_every_exercise_is_asked_once():
    """No lesson asks for an exercise without a record, and no record is left over."""
    in_lessons = [name for path in LESSONS for name in asked(path)]

    assert sorted(in_lessons) == sorted(one.id for one in lesson.exercises())


@each_lesson
def test_starters_are_not_tried_yet(path):
    """Run All passes unsolved and says so."""
    for cell in cells(path, "code"):
        if "exercise" in cell.metadata.get("tags", []):
            assert cell.outputs[0].text.startswith("Not tried yet.")


@each_lesson
def test_published_solutions_pass_in_place(path):
    """The lesson with every starter replaced by its solution says "Right." each time."""
    notebook = nbformat.read(path, as_version=4)
    practised = [c for c in notebook.cells if "exercise" in c.metadata.get("tags", [])]
    for cell in practised:
        name = re.search(r'lesson\.exercise\("([^"]+)"\)', cell.source)[1]
        starter = ast.parse(cell.source).body[0]
        rest = cell.source.splitlines()[starter.end_lineno :]
        cell.source = "\n".join([lesson.exercise(name).source, *rest])
    run(notebook, path)

    assert practised
    for cell in practised:
        assert cell.outputs[0].text.startswith(("Right.", "There is no single answer."))


@each_lesson
@pytest.mark.slow  # up to 13 s a lesson
def test_every_cell_can_be_run_twice(path):
    """Learners run a cell again; nothing may be encrypted twice or deleted twice."""
    notebook = nbformat.read(path, as_version=4)
    stored = [seen(c) for c in notebook.cells if c.cell_type == "code"]
    notebook.cells = [copy for c in notebook.cells for copy in (c, deepcopy(c))]
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    run(notebook, path)

    assert [seen(c) for c in notebook.cells if c.cell_type == "code"][1::2] == stored


# ---- everybody can read it ----------------------------------------------------------------------


@each_lesson
def test_headings_can_be_walked_through(path):
    """A screen reader's list of headings: one first title, no skipped level, no name twice."""
    levels = [level for level, _ in headings(path)]
    names = [name for _, name in headings(path)]

    assert cells(path, "markdown")[0].source.startswith("# ")
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    assert len(names) == len(set(names))


@each_lesson
def test_pictures_have_words(path):
    """Every picture says what it shows, in the text or beside the chart."""
    text = prose(path)

    assert "<img" not in text
    assert all(len(alt) > 15 for alt in re.findall(r"!\[([^\]]*)\]", text))
    for cell in cells(path, "code"):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                assert "text/plain" in output.data


@each_lesson
def test_link_texts_say_where_they_lead(path):
    """A list of links, read aloud, makes sense."""
    for words in re.findall(r"(?<!!)\[([^\]]+)\]\(", prose(path)):
        assert words.casefold() not in EMPTY_WORDS
        assert "://" not in words
    assert not re.search(r"(?<![(\"])https?://", prose(path)), "a bare address"


@each_lesson
def test_acronyms_are_written_out_at_first_use(path):
    """Each is in the glossary, and stands behind its long form where it comes first."""
    glossary = (ROOT / "notebooks/glossary.md").read_text(encoding="utf-8")
    long_forms = dict(re.findall(r"^\*\*([A-Z]{2,})\*\* \(([^)]+)\)", glossary, re.M))
    text = plain(prose(path))
    for acronym in set(re.findall(r"\b[A-Z]{2,}\b", text)):
        assert acronym in long_forms, f"{acronym} is not in the glossary"
        first = re.search(rf"\b{acronym}\b", text).start()
        before = text[:first].casefold().rstrip(" (")
        assert before.endswith(long_forms[acronym].casefold()), f"{acronym} is not written out"


@each_lesson
def test_outputs_need_no_mouse_and_no_scrolling(path):
    """No widgets, no scripts, lines under 100 characters, tables with header cells."""
    for cell in cells(path, "code"):
        for output in cell.outputs:
            kinds = set(output.get("data", {}))
            assert kinds <= {"text/plain", "text/html", "image/png", "image/svg+xml"}
            html = output.get("data", {}).get("text/html", "")
            assert "<script" not in html
            assert "<table" not in html or "<th" in html
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            assert all(len(line) < 100 for line in text.splitlines())


@each_lesson
def test_language_is_plain(path):
    """Under 18 words a sentence on average, none over 35."""
    text = re.sub(r"^#+ .*$|^\*\*.*$", "", prose(path), flags=re.M)
    sentences = [WORD.findall(s) for s in re.split(r"[.?!:](?:\s|$)|\n\n|\n- ", plain(text))]
    lengths = [len(words) for words in sentences if words]

    assert sum(lengths) / len(lengths) < 18
    assert max(lengths) <= 35


@each_lesson
def test_html_copy_is_complete_and_names_its_language(path):
    """HTML is the form that screen readers read best."""
    html, _ = HTMLExporter(language_code="en").from_filename(str(path))

    assert '<html lang="en">' in html
    assert html.count("<h1") == 1


# ---- trainers -----------------------------------------------------------------------------------


def rows(sheet):
    """Return the rows of a run-sheet's table: from, minutes, what, where, if late."""
    lines = re.findall(r"^\| *\d.*$", sheet.read_text(encoding="utf-8"), re.M)
    return [[part.strip() for part in line.strip("|").split("|")] for line in lines]


@each_sheet
def test_run_sheet_times_add_up(sheet):
    """Each row begins when the one before ends, and the last one ends on time."""
    clock = 0
    for start, length, *_ in rows(sheet):
        assert start == f"{clock // 60}:{clock % 60:02d}"
        clock += int(length)
    assert clock == LENGTHS[sheet.stem]


@each_sheet
def test_run_sheet_names_lessons_that_exist(sheet):
    """A trainer is not sent to a lesson or an exercise that nobody wrote."""
    numbers = {number_of(path): path for path in LESSONS}
    for *_, where, _late in rows(sheet):
        if found := re.match(r"(\d\d[a-z]?)(?:, (.+))?$", where):
            assert found[1] in numbers
            if found[2]:
                names = [name for _, name in headings(numbers[found[1]])]
                assert any(name.startswith(found[2].capitalize()) for name in names), found[2]
        else:
            assert where == "–"


@each_sheet
def test_run_sheet_has_slack(sheet):
    """At least a fifth of the time can be dropped when a group is late."""
    droppable = sum(int(r[1]) for r in rows(sheet) if r[-1].strip("* ").startswith("skip"))

    assert droppable >= LENGTHS[sheet.stem] / 5


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_every_lesson_has_trainer_notes(path):
    """Goal, two wrong turns, a question for discussion, an argued point, and no projector."""
    notes = (ROOT / f"notebooks/trainer/notes_{number_of(path)}.md").read_text(encoding="utf-8")

    for part in ("Goal", "Wrong turns", "Question", "Frequently argued", "Without a projector"):
        assert re.search(rf"^#+ {part}", notes, re.M), part

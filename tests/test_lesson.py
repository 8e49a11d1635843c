"""Exercises tell a learner what is wrong, and real data do not slip into a lesson."""

from __future__ import annotations

import pytest

from kit import lesson
from kit.lesson import Exercise, HostedNotebook, LessonError, NoExercise, NoSample, NotTried


def review(answer):
    """Accept 4."""
    return None if answer + 0 == 4 else "that is not four"


FOUR = Exercise("t.1", 5, review, "Two and two.", ("Count.", "Use fingers."), "four = 4")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a learner's folder with one file of sample data."""
    (tmp_path / "lab/sample_data/clean").mkdir(parents=True)
    (tmp_path / "lab/sample_data/clean/customers.csv").write_text(
        "customer_id,postcode,note\nc1,01234,\nc2,02134,NA\n", encoding="utf-8"
    )
    (tmp_path / "real.csv").write_text("name\nsomebody\n")
    monkeypatch.setenv("KIT_WORKSPACE", str(tmp_path / "lab"))
    return tmp_path


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        pytest.param(..., "Not tried yet. Replace the dots", id="dots"),
        pytest.param([4, ...], "Not tried yet", id="dots in a list"),
        pytest.param(4, "Right. Two and two.", id="right"),
        pytest.param(5, "Not yet: that is not four", id="wrong"),
        pytest.param("4", "Your code stopped with TypeError: ", id="stopped"),
        pytest.param(None, "Your code stopped with TypeError: ", id="None"),
    ],
)
def test_answers_are_told_apart(answer, reply, capsys):
    """Dots are not a mistake, and a mistake is not a broken program."""
    FOUR.check(answer)

    assert FOUR.verdict(answer).startswith(reply)
    assert capsys.readouterr().out.startswith(reply)


def test_questions_without_a_single_answer_show_what_a_good_one_holds():
    """A thinking exercise compares, and does not judge."""
    think = Exercise("t.2", 5, lambda _: None, "", (), "x = 1", points=("first", "second"))

    assert think.verdict(...).startswith("Not tried yet")
    assert think.verdict("mine").startswith("There is no single answer.")
    assert think.verdict("mine").endswith("- first\n- second")


def test_hints_say_more_and_more(capsys):
    """Asking again gives the last hint, never an error."""
    for number in (1, 2, 3, 0):
        FOUR.hint(number)
    FOUR.solution()

    assert capsys.readouterr().out.split("\n") == [
        "Count.",
        "Use fingers.",
        "Use fingers.",
        "Count.",
        "four = 4",
        "",
    ]


def test_a_learners_function_that_returns_dots_is_not_tried():
    """The starter of a function exercise is not taken for an answer."""
    one = Exercise("t.3", 5, lambda f: None if lesson.tried(f()) else "no", "", (), "")

    assert one.verdict(lambda: ...).startswith("Not tried yet")
    with pytest.raises(NotTried):
        lesson.tried(...)


def test_a_quiz_explains_every_option():
    """A wrong letter gets its own reason; anything else is told the form."""
    asked = lesson.quiz("t.q", 1, "b", {"a": "no: x", "b": "yes: y"}, hint="look")

    assert asked.verdict(" B ") == "Right. yes: y"
    assert asked.verdict("a") == "Not yet: no: x"
    assert "one letter in quotes: a, b" in asked.verdict("c")
    assert asked.source == 'answer = "b"'


def test_long_replies_fit_a_projector(capsys):
    """No line scrolls sideways."""
    Exercise("t.4", 1, lambda _: "word " * 60, "", (), "").check(1)

    assert max(map(len, capsys.readouterr().out.splitlines())) <= lesson.LINE


@pytest.mark.parametrize("exercise", lesson.exercises(), ids=lambda e: e.id)
def test_wrong_answers_get_their_own_reply(exercise):
    """The dots are "not tried yet", not "wrong"; each listed mistake gets its feedback."""
    assert exercise.verdict(...).startswith("Not tried yet")
    for answer, reply in exercise.wrong:
        assert exercise.verdict(answer).startswith("Not yet: ")
        assert reply in exercise.verdict(answer)


@pytest.mark.parametrize("exercise", lesson.exercises(), ids=lambda e: e.id)
def test_exercises_are_complete(exercise):
    """Ten minutes at most, a hint, and mistakes with replies unless any answer will do."""
    assert 1 <= exercise.minutes <= 10
    assert exercise.hints
    assert lesson.exercise(exercise.id) == exercise
    if exercise.points:
        assert len(exercise.points) >= 3
    else:
        assert exercise.right.endswith(".")
        assert len(exercise.wrong) >= 2


def test_refused_shows_the_reason(capsys):
    """The lesson shows the message that a shop would see."""
    with lesson.refused(NoSample):
        raise NoSample("no such file; look again")

    assert capsys.readouterr().out == "Refused (NoSample): no such file; look again\n"


def test_refused_hides_what_differs_in_every_run(capsys):
    """The number of a key is random, and a lesson's outputs are compared."""
    with lesson.refused(NoSample, hide=439041101):
        raise NoSample("no key 439041101; look again")

    assert capsys.readouterr().out == "Refused (NoSample): no key ...; look again\n"


def test_refused_fails_when_nothing_is_refused():
    """A removed safety check cannot pass as a lesson."""
    with pytest.raises(AssertionError, match="nothing was refused"), lesson.refused(NoSample):
        pass


def test_refused_fails_for_another_reason():
    """A typing error in a lesson is not taken for the refusal."""
    with pytest.raises(NameError), lesson.refused(NoSample):
        raise NameError("typo")


def test_sample_data_keep_every_character(home):
    """A postcode keeps its zero, and a blank stays a blank."""
    table = lesson.sample("clean/customers.csv")

    assert table["postcode"].tolist() == ["01234", "02134"]
    assert table["note"].tolist() == ["", "NA"]


def test_sample_data_print_no_banner(home, capsys):
    """The banner means something only if it is rare."""
    lesson.sample("clean/customers.csv")

    assert capsys.readouterr().out == ""


def test_own_data_print_a_banner(home, capsys):
    """Before real data are shown: where they are, that outputs are copies, how to clear them."""
    lesson.path(home / "real.csv")
    said = capsys.readouterr().out

    assert "REAL DATA: real.csv" in said
    assert "Nothing is sent" in said
    assert "Clear Outputs of All Cells" in said
    assert str(home) not in said


@pytest.mark.parametrize("sign", ["BINDER_SERVICE_HOST", "COLAB_RELEASE_TAG", "JUPYTERHUB_USER"])
def test_own_data_are_refused_on_a_hosted_notebook(home, monkeypatch, sign):
    """Customers' data stay on the shop's computer; sample data go on working."""
    monkeypatch.setenv(sign, "x")

    with pytest.raises(HostedNotebook, match="not your computer"):
        lesson.sample(str(home / "real.csv"))
    assert len(lesson.sample("clean/customers.csv")) == 2


@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param(lambda: lesson.sample("clean/none.csv"), NoSample, id="no sample"),
        pytest.param(lambda: lesson.path("../../none.csv"), NoSample, id="no file outside"),
        pytest.param(lambda: lesson.exercise("no_topic.1"), NoExercise, id="no topic"),
        pytest.param(lambda: lesson.exercise("take_stock.99"), NoExercise, id="no exercise"),
        pytest.param(lambda: lesson.exercise(""), NoExercise, id="no name"),
    ],
)
def test_refuses(home, call, error):
    """Each typing error says what there is instead, and names no folder of this computer."""
    with pytest.raises(error) as caught:
        call()

    assert isinstance(caught.value, LessonError)
    assert str(home) not in str(caught.value)


def test_sample_data_come_from_the_repository_without_a_lab(tmp_path, monkeypatch):
    """Lessons run under nbval, in an empty workspace."""
    monkeypatch.setenv("KIT_WORKSPACE", str(tmp_path))

    assert lesson.samples() == lesson.ROOT / "sample_data"


def test_the_workspace_is_found_from_a_lesson_opened_any_other_way(tmp_path, monkeypatch):
    """A notebook opened in an editor finds its own folder."""
    monkeypatch.delenv("KIT_WORKSPACE")
    (tmp_path / ".kit").mkdir()
    (tmp_path / ".kit/manifest.json").write_text("{}")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")

    assert lesson.workspace() == tmp_path


def test_doctor_reports_inside_a_notebook(home, capsys):
    """The same lines as `kit doctor`."""
    lesson.doctor()

    assert capsys.readouterr().out.startswith("[ OK ] Python 3.")

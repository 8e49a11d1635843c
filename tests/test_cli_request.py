"""From a mail to a finished package in four commands, run as a user runs them."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from asked_shop import buyer, open_request
from real_shop import NOW, WORDS, ZONE, filled
from run_kit import run

from kit import agefile, asking, cli_request, disclose, legal
from kit.shop import Shop

LAWS = legal.Book()


@pytest.fixture
def shop(tmp_path):
    """Return a shop's folder with a passphrase file beside it, and who is to ask."""
    return made_in(tmp_path)


@pytest.fixture(scope="module")
def one_shop(tmp_path_factory):
    """Return one in which nothing is changed."""
    return made_in(tmp_path_factory.mktemp("refusing"))


def made_in(tmp_path):
    """Make one."""
    with filled(tmp_path / "shop") as made:
        ana = buyer(made)
        open_request(made, "nobody@example.com", "limit")
    (tmp_path / "passphrase").write_text(WORDS + "\n", encoding="utf-8")
    (tmp_path / "passphrase").chmod(0o600)
    return tmp_path, ana


def kit(folder, *arguments, stdin=""):
    """Run a command in the shop's folder."""
    words = {"KIT_PASSPHRASE_FILE": str(folder / "passphrase")}
    ran = run(*arguments, cwd=folder / "shop", typed=stdin, **words)
    assert WORDS not in ran.stdout + ran.stderr
    return ran


def done(folder, *arguments, **more):
    """Run a command that must succeed; return what it says."""
    ran = kit(folder, *arguments, **more)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return ran.stdout


def known(folder, number):
    """Return the right answers, as the customer would give them."""
    with Shop.open(folder / "shop", WORDS) as opened:
        asked = asking.questions(opened, number, laws=LAWS, actor="owner", now=NOW)
        with opened.reading() as connection:
            held = asking.held(opened, connection, disclose.customer_of(opened, connection, number))
    return {p.name: str(held[p.name][0] if p.name == "bought" else held[p.name]) for p in asked}


def opened(folder, *arguments):
    """Take in a request; return its number."""
    return re.search(r"req-\d{8}-\w{8}", done(folder, "request", "open", *arguments))[0]


def test_from_a_mail_to_a_package_in_four_commands(shop, tmp_path):
    """Each says what comes next and by when; the file opens with the words that were printed."""
    folder, ana = shop
    said = done(folder, "request", "open", "--email", ana["email"], "--place", "US-CA")
    number = re.search(r"req-\d{8}-\w{8}", said)[0]
    assert re.search(r"confirm it +by \w{3} \d{4}-\d\d-\d\d  \(us-ca-ccpa.know.ack\)", said)
    assert re.search(r"answer it +by \w{3} \d{4}-\d\d-\d\d  \(us-ca-ccpa.respond\)", said)
    assert f"kit request verify {number}" in said
    assert ana["last_name"] not in said

    answers = known(folder, number)
    typed = "\n".join(answers.values()) + "\n"
    said = done(folder, "request", "verify", number, "--declaration", "binder 3", stdin=typed)
    assert "It is clear who asks (3 answers and a signed declaration)." in said
    assert f"kit request answer {number}" in said

    said = done(folder, "request", "answer", number)
    words = re.search(r"in person: ([a-z-]+)", said)[1]
    path = folder / "shop" / "requests" / f"{number}.zip.age"
    assert path.name in said
    assert "Your purchases: " in said
    agefile.unseal_file(path, tmp_path / "package.zip", passphrase=words)
    assert (tmp_path / "package.zip").read_bytes().startswith(b"PK")

    said = done(folder, "request", "close", number)
    assert "sealed copy in the shop was deleted" in said
    assert "Next: nothing more" in said
    assert not path.exists()
    assert number not in done(folder, "request", "list")


def test_a_deletion_is_looked_at_before_it_is_done(shop):
    """Without --yes nothing changes; with it the letter for the customer is printed."""
    folder, ana = shop
    number = opened(folder, "--email", ana["email"], "--kind", "delete", "--place", "US-CA")
    answers = json.dumps(known(folder, number))
    done(folder, "request", "verify", number, "--answers", "-", stdin=answers)
    said = done(folder, "request", "answer", number)
    assert "Nothing was changed." in said
    assert "us-ca-other.sales_records" in said
    said = done(folder, "request", "answer", number, "--yes")

    assert "We have deleted your data." in said
    assert "kept until" in said
    assert ana["email"] not in said
    record = json.loads(done(folder, "request", "show", number, "--json"))
    assert record["nature_of_response"] == "erased, in part kept without the name"
    assert "Nobody was found" in done(folder, "find", ana["email"])


def test_somebody_else_is_told_nothing(shop):
    """Exit code 3, the same words whatever was wrong, and after three attempts it ends."""
    folder, ana = shop
    number = opened(folder, "--email", ana["email"])
    wrong = json.dumps(dict.fromkeys(known(folder, number), "99999 croissant"))
    verify = ("request", "verify", number, "--declaration", "x", "--answers", "-")
    said = [kit(folder, *verify, stdin=wrong) for _ in range(3)]

    assert {one.returncode for one in said} == {3}
    assert "does not match what the shop holds; 2 more attempts. Say no more" in said[0].stdout
    last = kit(folder, *verify, stdin=wrong)
    assert last.returncode == 1
    assert "kit: 3 attempts have failed" in last.stderr
    said = done(folder, "request", "close", number, "--because", "insuf_verification",
                "--basis", "us-ca-ccpa.fallback")  # fmt: skip
    assert "denied (insuf_verification)" in said


def test_a_no_a_correction_and_a_list(shop):
    """What is open is listed with its date, and by JSON for a program."""
    folder, ana = shop
    number = opened(folder, "--email", ana["email"], "--kind", "opt_out", "--channel", "browser")
    listed = done(folder, "request", "list")
    assert re.search(rf"{number}  opt_out +open +not to sell or share.* by ", listed)
    assert "from now on" in done(folder, "request", "answer", number)
    other = opened(folder, "--email", ana["email"], "--kind", "correct", "--about", "phone")
    answers = json.dumps(known(folder, other))
    done(folder, "request", "verify", other, "--answers", "-", stdin=answers)
    assert "Corrected: phone" in done(
        folder, "request", "answer", other, "--set", "phone=212-555-0143"
    )
    (_, left, right) = json.loads(done(folder, "request", "list", "--all", "--json"))
    assert left["next"]["what"] == "nothing more"
    assert right["status"] == "fulfilled"


def test_late_requests_are_shouted_about(shop):
    """Exit code 3 when a date is over; more time is only had in time."""
    folder, ana = shop
    number = opened(folder, "--email", ana["email"], "--place", "US-CA", "--received", "2026-01-05")
    ran = kit(folder, "request", "list")
    assert ran.returncode == 3
    assert "(LATE)" in ran.stdout
    said = done(folder, "request", "notice", number, "--arrived")
    assert "Noted.\nNext: find out who asks" in said.replace("say that it arrived, and ", "")
    assert "--arrived" not in said
    late = ("request", "extend", number, "--reason", "many", "--noticed", "2026-02-20")
    ran = kit(folder, *late)
    assert ran.returncode == 1
    assert "2026-02-19" in ran.stderr
    other = opened(folder, "--email", ana["email"])
    tomorrow = f"{datetime.now(ZoneInfo(ZONE)) + timedelta(days=1):%Y-%m-%d}"
    ran = kit(folder, "request", "extend", other, "--reason", "many", "--noticed", tomorrow)
    assert "send it first" in ran.stderr  # else the book would say that it was sent today
    said = done(folder, *late[:-1], "2026-02-19")
    assert "Extended to " in said


@pytest.mark.parametrize("hour", [0, 9, 12, 23])
def test_today_is_never_in_the_future(one_shop, hour):
    """A mail that came today is entered before noon, too."""
    with Shop.open(one_shop[0] / "shop", WORDS) as made:
        at = datetime(2026, 11, 24, hour, 5, tzinfo=made.settings.zone)
        assert cli_request._moment("2026-11-24", made, at) == min(at, at.replace(hour=12, minute=0))
        assert cli_request._moment("2026-11-25", made, at) > at


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["open"], 2, "say who asks"),
        (["open", "--email", "x@example.com", "--kind", "all"], 1, "one or more of"),
        (["open", "--email", "x@example.com", "--received", "soon"], 2, "write it as"),
        (["open", "--email", "x@example.com", "--received", "2199-01-01"], 1, "future"),
        (["open", "--email", "x@example.com", "--place", "Californai"], 1, "US-CA or California"),
        (["verify", "req-1", "--declaration", "x"], 1, "no such request"),
        (["answer", "req-1"], 1, "no such request"),
        (["close", "req-1", "--because", "no_match", "--basis", "x"], 1, "no such request"),
        (["confirm", "req-1", "Parcel Co", "missing.eml"], 1, "missing.eml"),
    ],
)
def test_a_refusal_is_one_line(one_shop, arguments, code, told):
    """It says what to do, and repeats nothing of a customer."""
    ran = kit(one_shop[0], "request", *arguments)

    assert ran.returncode == code
    assert told in ran.stderr
    assert "x@example.com" not in ran.stderr

"""`kit law`: what binds the shop, by when to answer, where it is written, read again by whom."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from run_kit import run
from test_cli import KIT

from kit import law, legal

ROOT = Path(__file__).parent.parent
NOTICE = "General information compiled by non-lawyers, current to "
FLOWERS = "--state CA --revenue 400000 --consumers 1200 --fact sale_share_pct=0".split()
ON = ["--on", "2026-11-24"]


def kit(*arguments, cwd=ROOT):
    """Run a command about law."""
    return run("law", *arguments, cwd=cwd)


def test_one_law_and_why():
    """A small shop in California reads that the CCPA is not for it, and which numbers said so."""
    ran = kit("covered", "us-ca-ccpa", *FLOWERS, *ON)

    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0] == "no       California Consumer Privacy Act and its regulations"
    assert (
        re.sub(r"\s+", " ", ran.stdout).count("revenue not above $26,625,000; under 100,000") == 1
    )
    assert "(ca.cover.*)" in ran.stdout
    assert NOTICE in ran.stdout


def test_what_was_not_said_is_asked_for():
    """Unknown is an answer, and the owner sees what would settle it."""
    ran = kit("covered", "--state", "CA", "--fact", "residents_of=US-CA,US-WY", *ON)

    assert "yes      California breach notification law" in ran.stdout
    assert "unknown  us-wy-privacy" in ran.stdout
    assert "no privacy law of Wyoming is in these files" in ran.stdout
    asked = ran.stdout.partition("To know more, say under [business]: ")[2]
    assert {"revenue_usd", "has_website", "sends_email"} <= set(re.findall(r"\w+", asked))
    assert "more do not bind the shop; --all says which and why" in ran.stdout
    assert "Virginia" not in ran.stdout
    assert "Virginia" in kit("covered", "--all", "--fact", "residents_of=US-CA", *ON).stdout


def test_the_facts_come_from_the_shops_settings(tmp_path):
    """Said once in shop.toml, asked as often as one likes; an option wins."""
    (tmp_path / "shop.toml").write_text(
        'format = 1\nname = "Corner Flowers"\ntime_zone = "America/Los_Angeles"\n'
        '[staff]\nmaria = "owner"\n'
        '[business]\nresidents_of = ["US-CA"]\nrevenue_usd = 30_000_000\n',
        encoding="utf-8",
    )

    told = json.loads(kit("covered", "us-ca-ccpa", "--json", *ON, cwd=tmp_path).stdout)
    assert told["laws"][0]["answer"] == "yes"
    assert told["laws"][0]["rows"] == ["us-ca-ccpa.cover.revenue"]
    assert told["notice"].startswith(NOTICE)
    small = kit("covered", "us-ca-ccpa", "--revenue", 5, "--shop", tmp_path, "--json", *ON)
    assert json.loads(small.stdout)["laws"][0]["answer"] == "unknown"
    late = kit("clock", "ca.ack", "--received", "2026-03-03T05:00+00:00", "--json", cwd=tmp_path)
    assert json.loads(late.stdout)["start"] == "2026-03-02"  # still the day before at the shop


def test_a_deadline_with_its_extension():
    """The whole screen, as an owner sees it."""
    ran = kit(
        *["clock", "ca.respond", "--received", "2026-03-02", "--zone", "America/Los_Angeles"],
        *["--extend-notice", "2026-04-16", "--reason", "many requests"],
    )

    assert ran.returncode == 0, ran.stderr
    assert "counts from Mon 2026-03-02\nsend by     Fri 2026-05-29\n" in ran.stdout
    assert "due         Sun 2026-05-31 (extended)\n" in ran.stdout
    assert "latest      Mon 2026-06-01: a generous reading, nothing to aim at\n" in ran.stdout
    assert "2026-05-30 if the first day counts, too" in ran.stdout
    assert "written in  11 CCR 7021(b)" in ran.stdout
    assert NOTICE in ran.stdout


def test_a_deadline_as_json():
    """For another program: plain dates, doubts and the notice."""
    ran = kit("clock", "ca.ack", "--received", "2026-03-02", "--json")
    told = json.loads(ran.stdout)

    assert (told["due"], told["send_by"], told["strict"]) == (
        "2026-03-16",
        "2026-03-16",
        ["2026-03-13"],
    )
    assert told["state"] == "computed"
    assert told["rule"] == "us-ca-ccpa.know.ack"


def test_a_missing_start_gives_a_floor_and_something_to_do():
    """Exit code 3: a person has to act."""
    ran = kit("clock", "us-tx-breach.people", "--discovered", "2026-03-02")

    assert ran.returncode == 3
    assert "no date     cannot compute: determined is not given" in ran.stdout
    assert "floor       Fri 2026-05-01: it cannot be due before that day" in ran.stdout
    assert "do          find out and note when: determined" in ran.stdout


def test_hours_and_pauses():
    """A time of day with its zone; a pause where the rule knows that reason."""
    found = kit("clock", "eu.breach", "--event", "aware=2026-03-06T22:00+01:00", "--zone",
                "Europe/Berlin")  # fmt: skip
    assert "due         Mon 2026-03-09 22:00 +0100" in found.stdout, found.stderr
    asked = ["clock", "uk.clock", "--received", "2026-03-02", "--zone", "Europe/London"]
    paused = kit(*asked, "--pause", "clarification_awaited=2026-03-09/2026-03-16", "--json")
    assert json.loads(paused.stdout)["due"] == "2026-04-09"
    still = kit(*asked, "--pause", "clarification_awaited=2026-03-09")
    assert (still.returncode, "stopped: clarification awaited" in still.stdout) == (3, True)


def test_a_rule_is_printed_with_everything_known_of_it():
    """Source, words, dates, doubts, and how sure."""
    ran = kit("show", "us-ca-ccpa.know.ack")
    row = law.load().get("us-ca-ccpa.know.ack")

    assert ran.returncode == 0, ran.stderr
    text = re.sub(r"\s+", " ", ran.stdout)
    for said in (row.plain, f'"{row.quote}"', row.cite, row.source["url"], *row.doubts):
        assert said in text
    assert f"read again by {row.review_by}" in text
    assert f"from {row.starts}" in text
    assert NOTICE in ran.stdout


def test_every_rule_and_every_law_can_be_shown():
    """No row breaks the screen, or the JSON."""
    from kit import show_law

    book = legal.Book()
    for row in book.all_rows:
        assert all(len(line) <= 160 for line in show_law.rule(row) if "address" not in line)
        json.dumps(show_law.rule_data(row))
    listed = kit("show")
    assert all(key in listed.stdout for key in book.laws)
    of_law = kit("show", "us-va-privacy")
    assert "us-va-privacy.respond" in of_law.stdout
    told = json.loads(kit("show", "st.va", "--json").stdout)
    assert {one["law"] for one in told} == {"us-va-privacy"}
    assert kit("show", "br.ca", *["--on", "2025-06-01"]).stdout.startswith("us-ca-breach.")


@pytest.fixture
def facts(tmp_path):
    """Return a copy of the facts in which one rule is long overdue."""
    folder = shutil.copytree(law.FACTS, tmp_path / "facts")
    path = folder / "us-ca-ccpa.toml"
    text = path.read_text(encoding="utf-8")
    begin = text.index('id = "us-ca-ccpa.know.ack"')
    end = text.index("\n\n", begin)
    late = re.sub("review_by = .*", "review_by = 2026-11-24", text[begin:end])
    path.write_text(text[:begin] + late + text[end:], encoding="utf-8")
    return folder


def test_an_overdue_rule_has_a_banner_everywhere(facts):
    """Whoever sees its date sees that nobody has looked at it for too long."""
    for arguments in (
        ["clock", "ca.ack", "--received", "2026-03-02"],
        ["show", "us-ca-ccpa.know.ack"],
    ):
        ran = kit(*arguments, "--facts", facts)
        assert "Overdue: us-ca-ccpa.know.ack should have been read again by 2026-11-24" in (
            re.sub(r"\s+", " ", ran.stdout)
        )
        told = json.loads(kit(*arguments, "--facts", facts, "--json").stdout)
        assert "Overdue" in (told[0] if isinstance(told, list) else told)["overdue"]


def test_check_says_what_is_wrong_with_the_facts(facts):
    """Exit code 3, each problem with its row; broken files do not hide the others."""
    ran = kit("check", "--facts", facts)
    assert ran.returncode == 3
    assert "us-ca-ccpa.know.ack: was to be read again by 2026-11-24" in ran.stdout

    (facts / "us-va-privacy.toml").write_text("[law", encoding="utf-8")
    broken = kit("check", "--facts", facts, "--json")
    assert broken.returncode == 3
    assert "us-va-privacy.toml" in {one["row"] for one in json.loads(broken.stdout)}


def test_a_release_may_leave_for_a_month(facts):
    """After that it would carry a law that nobody has looked at."""
    today = datetime.now().astimezone().date()
    for days, code in ((10, 0), (40, 3)):
        for path in facts.glob("*.toml"):
            text = path.read_text(encoding="utf-8")
            due = today + timedelta(days=-days if path.stem == "pci-dss" else 99)
            text = re.sub(r"(?m)^review_by = .*", f"review_by = {due}", text)
            path.write_text(text, encoding="utf-8")
        ran = kit("check", "--facts", facts, "--release")
        assert ran.returncode == code
        assert "pci-dss.mask: was to be read again" in ran.stdout


def test_review_without_a_terminal_lists_what_is_due(facts):
    """A scheduled job can send it to somebody; exit code 3."""
    ran = kit("review", "--facts", facts)

    assert ran.returncode == 3
    assert re.search(r"2026-11-24  us-ca-ccpa\.know\.ack +https://", ran.stdout)
    told = json.loads(kit("review", "--facts", facts, "--json").stdout)
    assert told[0]["id"] == "us-ca-ccpa.know.ack"


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal to type into")
@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (["y"], "still there; to be read again by"),
        (["n"], "its words were not found"),
        (["new", "within 5 days of it", "Say so within 5 days.", "2027-07-01", "", "5",
          "2027-07-01", "2027-07-08"], "followed by `us-ca-ccpa.know.ack.from_2027_07_01`"),
        (["new", " ".join("abcdefghijklmnop"), "Say so.", "2027-07-01", "", "5", "2027-07-01",
          "2027-07-08", "new", "some words", "Say so.", "in July", "y"], "still there; to be read"),
        (["new", "within 5 days", "Within 5 days.", "2027-07-01", "", "5", "2027-07-01",
          "2027-07-09"], "from_2027_07_01"),
        (["q"], None),
    ],
    ids=["still there", "gone", "new words", "slips", "a case that does not come out", "stop"],
)  # fmt: skip
def test_review_at_a_terminal_asks_and_writes_down(facts, answers, says):
    """A person who is no lawyer does it in ten minutes; every answer is saved at once."""
    import pty

    main, terminal = pty.openpty()
    before = (facts / "CHANGES.md").read_text(encoding="utf-8")
    process = subprocess.Popen(
        [*KIT, "law", "review", "--facts", facts, "--reader", "Maria"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    os.close(terminal)
    # the overdue row comes first; what else is due by now is left: q
    os.write(main, "".join(f"{line}\n" for line in [*answers, "q", "q"]).encode())
    output, _ = process.communicate(timeout=60)
    os.close(main)

    after = (facts / "CHANGES.md").read_text(encoding="utf-8")
    assert process.returncode == 0, output
    if says is None:
        assert after == before
    else:
        assert says in after
        assert "read again by Maria (not a lawyer)" in after
    legal.Book(facts)
    assert output.count("not written down: ") == 2 * (answers[-1] == "y" and len(answers) > 1)
    assert ("does not come out, due is 2027-07-08" in output) == (answers[-1] == "2027-07-09")


REFUSED = [
        pytest.param(["clock", "ca.acknowledge"], 1, "no rule called", id="unknown rule"),
        pytest.param(["clock", "ca.ack", "--received", "yesterday"], 2, "2026-03-02", id="no day"),
        pytest.param(["clock", "ca.ack", "--received", "2026-03-02T10:00"], 2, "say the zone",
                     id="a time without zone"),
        pytest.param(["clock", "eu.breach", "--event", "aware=2026-03-02"], 1, "counts hours",
                     id="a day where hours count"),
        pytest.param(["clock", "ca.ack", "--event", "received"], 2, "NAME=VALUE", id="no value"),
        pytest.param(["clock", "ca.ack", "--received", "2026-03-02", "--zone", "Moon"], 2,
                     "America/New_York", id="no such zone"),
        pytest.param(["clock", "ca.respond", "--received", "2026-03-02", "--extend-notice",
                      "2026-04-17", "--reason", "many"], 1, "the first date stands", id="late"),
        pytest.param(["clock", "ca.respond", "--received", "2026-03-02", "--extend-notice",
                      "2026-04-16"], 1, "needs a reason", id="without a reason"),
        pytest.param(["clock", "ca.songbev", "--received", "2026-03-02"], 1, "no time limit",
                     id="no clock"),
        pytest.param(["covered"], 2, "say --state", id="nothing said"),
        pytest.param(["covered", "--state", "Atlantis"], 1, "state must be", id="no such state"),
        pytest.param(["covered", "--consumers", "5"], 2, "of which state", id="people of nowhere"),
        pytest.param(["covered", "--fact", "any_sale=perhaps"], 1, "true or false", id="perhaps"),
        pytest.param(["show", "ca.nothing"], 1, "no rule called", id="nothing to show"),
        pytest.param(["show", "--facts", "nowhere"], 1, "no law in nowhere", id="no facts"),
    ]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "says"), REFUSED)
def test_refuses(arguments, code, says):
    """Each mistake is one plain line, with what to do."""
    ran = kit(*arguments)

    assert ran.returncode == code, ran.stderr
    assert says in re.sub(r"[\s│]+", " ", ran.stderr)
    assert code == 2 or len(ran.stderr.strip().splitlines()) == 1


def test_nothing_is_due_on_the_day_the_facts_were_read():
    """So the list of what is due is short, and its end is told."""
    book = legal.Book()

    assert book.steps(max(row.read_on for row in book.all_rows)) == []
    assert len(book.steps(date(2100, 1, 1))) == sum(row.ends is None for row in book.all_rows)

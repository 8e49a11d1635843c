"""She wants to be forgotten, and the tax office does not: what goes, what stays, and the proof."""

from __future__ import annotations

import hashlib
import json
from datetime import date, timedelta

import pytest
from asked_shop import (
    LAWS,
    ME,
    access,
    buyer,
    change,
    open_request,
    put,
    request,
    verified,
)
from real_shop import NOW, content, exports, filled, sound, taken

from kit import deleting, disclose, erasure, removals, request_state, store
from kit.shop import NotAllowed

VENDORS = """\
format = 1

[[vendor]]
name = "Parcel Co"
role = "service provider"
gets = ["addresses"]
why = "brings parcels"
contact = "privacy@parcel.example.com"
find_by = ["phone", "email"]

[[vendor]]
name = "Till Co"
role = "contractor"
gets = ["customers", "sales"]
why = "runs the till"
contact = "privacy@till.example.com"
find_by = ["customer_id"]
send = "raw"

[[vendor]]
name = "Points Co"
role = "buyer"
gets = ["loyalty"]
why = "nothing good"
contact = "privacy@points.example.com"
find_by = ["email"]
"""
BY = {"laws": LAWS, **ME}


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request, tmp_path):
    """Return a shop with a week of sales, on either database."""
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres")
    with filled(tmp_path / "shop", url) as made:
        yield made


@pytest.fixture
def lite(tmp_path):
    """Return one on SQLite."""
    with filled(tmp_path / "shop") as made:
        yield made


def asked(shop, **change):
    """Return a verified request to delete, and who asked."""
    ana = buyer(shop)
    return ana, verified(shop, ana["email"], "delete", **change)


def points(shop, customer, count=120):
    """Give a customer points."""
    put(shop, "loyalty", {"entry_id": f"l-{customer}", "customer_id": customer, "points": count})


def lines(found):
    """Return lines by their place."""
    return {line.table or line.store: line for line in found}


def test_the_plan_says_what_goes_what_stays_and_why(shop):
    """With the rule and the day, and nothing is changed by looking."""
    _, number = asked(shop)
    before = content(shop)
    made = deleting.plan(shop, number, laws=LAWS, backups_until=date(2027, 3, 1), now=NOW)
    found = lines(made.lines)

    assert (found["customers"].action, found["customers"].removed) == ("erase", 1)
    assert found["customers"].rule_id == "us-ca-ccpa.delete.how"
    assert (found["sales"].action, found["sales"].rule_id) == (
        "anonymise", "us-ca-other.sales_records",
    )  # fmt: skip
    assert found["sales"].until == date(2030, 11, 24)
    assert "nothing in them names you" in found["sales"].message
    assert found["backups"].until == date(2027, 3, 1)
    assert "2027-03-01" in found["backups"].message
    (other,) = [line for line in deleting.plan(shop, number, laws=LAWS, now=NOW).lines
                if line.store == "backups"]  # fmt: skip
    assert other.message.startswith("If a sealed backup still holds")  # there may be none at all
    assert not found["customers"].done
    assert content(shop) == before


def test_a_deletion_from_request_to_proof(shop):
    """All that names her is gone from the database's files; the books add up as before."""
    ana, number = asked(shop)
    sold = sum(row["net_cents"] for row in content(shop)["sales"])
    done = deleting.delete(shop, number, **BY)

    assert ana["customer_id"] not in str(
        {k: v for k, v in content(shop).items() if k != "kit_meta"}
    )
    assert sum(row["net_cents"] for row in content(shop)["sales"]) == sold
    values = [str(ana[name]).encode() for name in ("email", "phone") if ana[name]]
    assert erasure.search(shop.files(), values) == {}
    found = request(shop, number)
    assert (found.status, found.nature) == ("fulfilled", "erased, in part kept without the name")
    assert "books: us-ca-other.sales_records" in found.basis
    assert all(line.done for line in done.lines)
    assert "erased" in done.letter
    assert "kept until" in done.letter
    assert disclose.next_step(found).what == "send the letter"  # there is no passphrase to tell
    report = shop.folder / "requests" / number / "report.json"
    assert hashlib.sha256(report.read_bytes()).hexdigest() == found.sent["report"]
    (row,) = content(shop)["privacy_requests"]
    assert (row["customer_id"], row["status"]) == (None, "fulfilled")
    sound(shop)


def test_what_a_restore_replaced_is_told_of(lite):
    """The old database lies there with her in it until its day comes; she is not told otherwise."""
    _, number = asked(lite)
    (lite.folder / ".before-restore-20261120T093000Z").write_bytes(b"")
    done = deleting.delete(lite, number, **BY)

    assert "from before a restore may hold your data; it is deleted on 2026-12-20" in done.letter


def test_the_report_has_the_agreed_shape(lite):
    """One line for each place, whatever program reads it."""
    ana, number = asked(lite)
    done = deleting.delete(lite, number, **BY)
    report = json.loads((lite.folder / "requests" / number / "report.json").read_text())

    assert report == done.report
    for line in report["lines"]:
        assert list(line) == [
            "store", "table", "action", "reason_code", "rule_id", "until",
            "removed", "retained", "message", "done",
        ]  # fmt: skip
    for text in (json.dumps(report), done.letter):
        assert not any(str(ana[name]) in text for name in ("email", "phone", "customer_id"))


def test_nothing_of_her_is_left_in_the_folder(lite):
    """Not in an earlier package, a report, the ledger or a log: every file is searched."""
    ana = buyer(lite)
    first = verified(lite, ana["email"])
    package = access(lite, first).path
    _, number = asked(lite)
    deleting.delete(lite, number, **BY)
    files = [path for path in lite.folder.rglob("*") if path.is_file()]
    values = [str(ana[name]).encode() for name in ("email", "phone", "customer_id")]
    values += [ana["email"].encode("utf-16-le"), ana["email"].encode().hex().encode()]

    assert not package.exists()
    assert len(files) > 4
    assert erasure.search(files, values) == {}


def test_no_old_export_brings_her_back(lite):
    """The till still has her; the next import leaves her out."""
    ana, number = asked(lite)
    deleting.delete(lite, number, **BY)
    done = taken(lite, exports("square")["customers"], now=NOW + timedelta(days=9))

    assert done.erased >= 1
    assert ana["customer_id"] not in str(content(lite)["customers"])


def test_companies_are_told_and_stay_open_until_they_confirm(lite, tmp_path):
    """Those that have something of hers, in their own way; the letter about her goes when done."""
    (lite.folder / "vendors.toml").write_text(VENDORS, encoding="utf-8")
    ana, number = asked(lite)
    done = deleting.delete(lite, number, **BY)
    folder = lite.folder / "requests" / number
    told = [json.loads(path.read_text()) for path in sorted(folder.glob("vendor-*.json"))]

    assert [v.name for v in done.request.vendors] == ["Parcel Co", "Till Co"]
    assert [[i["identity_type"] for i in one["subject_identities"]] for one in told] == [
        ["phone_number", "email"], ["controller_customer_id"],
    ]  # fmt: skip
    assert ana["email"] not in str(told)
    assert {line.store: line.done for line in done.lines if line.action == "tell"} == {
        "Parcel Co": False, "Till Co": False,
    }  # fmt: skip
    step = disclose.next_step(done.request)
    assert step.by == date(2026, 12, 8)
    assert step.command == f'kit request confirm {number} "Parcel Co" FILE'
    assert [r.request_id for r in disclose.listed(lite)] == [number]
    letter = tmp_path / "letter.txt"
    letter.write_text("done")
    disclose.confirm(lite, number, "Parcel Co", letter, **ME)
    assert len(list(folder.glob("vendor-*.json"))) == 1
    disclose.confirm(lite, number, "Till Co", letter, **ME)
    assert list(folder.glob("vendor-*.json")) == []
    assert disclose.listed(lite) == []


def test_a_company_that_cannot_find_her_is_named(lite):
    """A person has to write to it; the rest is deleted all the same."""
    text = VENDORS.replace('find_by = ["phone", "email"]', 'find_by = ["phone"]')
    (lite.folder / "vendors.toml").write_text(text, encoding="utf-8")
    ana, number = asked(lite)
    change(lite, "customers", ana["customer_id"], phone=None)
    done = deleting.delete(lite, number, **BY)

    assert done.report["unreachable"] == ["Parcel Co"]
    assert [v.name for v in done.request.vendors] == ["Till Co"]


def test_points_are_told_of_before_they_are_lost(lite):
    """In Colorado a day before, to the hour; elsewhere it is said, and nobody has to wait."""
    ana, number = asked(lite, place="US-CO")
    points(lite, ana["customer_id"])
    made = deleting.plan(lite, number, laws=LAWS, now=NOW)
    assert "120 points" in made.lost
    assert (made.rule, made.after) == ("us-co-loyalty.notice", None)
    with pytest.raises(disclose.NotYet, match="kit request notice"):
        deleting.delete(lite, number, **BY)
    deleting.tell_loss(lite, number, **ME)
    deleting.tell_loss(lite, number, actor="owner", now=NOW + timedelta(hours=5))
    early = NOW + timedelta(hours=24) - timedelta(seconds=1)
    with pytest.raises(disclose.NotYet, match="2026-11-25 04:30"):
        deleting.delete(lite, number, laws=LAWS, actor="owner", now=early)
    assert content(lite)["loyalty"]
    on_time = early + timedelta(seconds=1)
    done = deleting.delete(lite, number, laws=LAWS, actor="owner", now=on_time)

    assert done.request.status == "fulfilled"
    assert content(lite)["loyalty"] == []


def test_elsewhere_nobody_waits(lite):
    """The loss is said, and the deletion goes on."""
    ana, number = asked(lite)
    points(lite, ana["customer_id"])
    made = deleting.plan(lite, number, laws=LAWS, now=NOW)

    assert made.lost
    assert made.rule == ""
    assert deleting.delete(lite, number, **BY).request.over


def test_a_deletion_that_was_cut_short_goes_on(lite, monkeypatch):
    """The power fails after she was erased, before anybody wrote so: the next run does.

    It tells her both halves, too: what went, and what the shop keeps for the tax office.
    """
    (lite.folder / "vendors.toml").write_text(VENDORS, encoding="utf-8")
    _, number = asked(lite)
    planned = deleting.plan(lite, number, laws=LAWS, now=NOW)

    def fail(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "settle", fail)
        with pytest.raises(KeyboardInterrupt):
            deleting.delete(lite, number, **BY)
    assert request(lite, number).status == "in_progress"
    assert lite.ledger.unfinished()
    done = deleting.delete(lite, number, **BY)

    assert done.request.status == "fulfilled"
    assert [v.name for v in done.request.vendors] == ["Parcel Co", "Till Co"]
    assert [line.message for line in done.lines] == [line.message for line in planned.lines]
    assert all(line.done for line in done.lines if line.action != "tell")
    assert "books: us-ca-other.sales_records" in done.request.basis
    assert lite.ledger.unfinished() == []
    sound(lite)


def test_nobody_is_deleted_without_proof(lite):
    """Not unverified, not by a cashier, not by another kind of request, not nobody."""
    ana = buyer(lite)
    number = open_request(lite, ana["email"], "delete")
    with pytest.raises(disclose.NotYet, match="verify comes first"):
        deleting.delete(lite, number, **BY)
    with pytest.raises(NotAllowed):
        deleting.delete(lite, number, laws=LAWS, actor="sam", now=NOW)
    sure = verified(lite, ana["email"], "delete")
    with pytest.raises(NotAllowed):  # the plan tells what she bought, and how many points she has
        deleting.plan(lite, sure, laws=LAWS, actor="sam", now=NOW)
    assert deleting.plan(lite, sure, laws=LAWS, **ME).lines
    other = verified(lite, ana["email"])
    with pytest.raises(disclose.WrongKind):
        deleting.plan(lite, other, laws=LAWS, now=NOW)

    assert ana["customer_id"] in str(content(lite)["customers"])
    assert lite.ledger.lines() == []


@pytest.mark.parametrize("because", ["revoked", "expired", "suspected_fraud"])
def test_nobody_is_deleted_who_took_it_back_or_was_refused(lite, because):
    """There is no way back from a deletion: neither she goes, nor is any company told."""
    (lite.folder / "vendors.toml").write_text(VENDORS, encoding="utf-8")
    ana, number = asked(lite)
    disclose.close(lite, number, because, basis="as she said", **ME)
    with pytest.raises(request_state.NotNow, match="nothing was changed"):
        deleting.delete(lite, number, **BY)

    assert ana["customer_id"] in str(content(lite)["customers"])
    assert not request(lite, number).vendors
    assert lite.ledger.lines() == []


def test_who_was_erased_otherwise_cannot_be_deleted_again(lite):
    """The request has nobody any more, and says so."""
    ana, number = asked(lite)
    before = NOW - timedelta(days=1)
    removals.erase(lite, removals.plan_erasure(lite, ana["customer_id"], now=before),
                   actor="owner", now=before)  # fmt: skip
    with pytest.raises(disclose.NotYet, match="no_match"):
        deleting.delete(lite, number, **BY)

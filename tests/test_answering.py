"""The customer gets all that is held, sealed; a correction is made; a no is kept."""

from __future__ import annotations

import itertools
import json
import stat
import sys
from datetime import timedelta

import pytest
import sqlalchemy as sa
from asked_shop import (
    LAWS,
    ME,
    access,
    buyer,
    change,
    data,
    held,
    open_request,
    put,
    request,
    unsealed,
    verified,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from real_shop import NOW, content, filled, sound

from kit import (
    answering,
    asking,
    audit,
    consent,
    counter,
    disclose,
    erasure,
    gathering,
    outgoing,
    package,
    removals,
    request_state,
)
from kit.erasure import plan as plan_erasure
from kit.shop import NotAllowed

HOSTILE = "<script>alert(1)</script>\u202e../../=cmd|' /C calc'!A0"
EVERYTHING = (
    "customers", "addresses", "consents", "loyalty", "sales", "lines", "payments", "refunds",
)  # fmt: skip


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


def test_a_customer_gets_all_that_is_held(shop, tmp_path):
    """Name, address, purchases, goods by name; each file in the manifest, the hash in the book."""
    ana = buyer(shop)
    number = verified(shop, ana["email"])
    answered = access(shop, number)
    files = unsealed(answered, tmp_path)
    told = data(files)

    assert {*files} >= {"your-data.html", "your-data.json", "manifest.json", "csv/sales.csv"}
    assert told["customers"][0]["email"] == ana["email"]
    mine = [r for r in content(shop)["sales"] if r["customer_id"] == ana["customer_id"]]
    assert len(told["sales"]) == len(mine) > 0
    goods = {row["name"] for row in content(shop)["products"]}
    assert {row["product_id"] for row in told["lines"]} <= goods
    found = request(shop, number)
    assert (found.status, found.nature) == ("fulfilled", "access package")
    assert set(found.sent) == {"sealed", "zip"}
    with shop.reading() as connection:
        entries = audit.entries(connection, subject=shop.log.subject(ana["customer_id"]))
        assert [e["action"] for e in entries][-1] == "disclose"
    assert disclose.next_step(found).command == f"kit request close {number}"
    sound(shop)


def test_the_file_is_sealed_and_gone_once_it_is_handed_over(lite, tmp_path):
    """Nobody reads it in the shop's folder; the passphrase is kept nowhere."""
    ana = buyer(lite)
    number = verified(lite, ana["email"])
    answered = access(lite, number, recipient="")
    files = [path for path in lite.folder.rglob("*") if path.is_file()]
    everything = b"".join(path.read_bytes() for path in files)

    assert answered.path.read_bytes().startswith(b"age-encryption.org/v1")
    assert unsealed(answered, tmp_path)["manifest.json"]
    assert answered.words not in repr(answered)
    assert answered.words.encode() not in everything
    assert ana["email"].encode() not in everything
    if sys.platform != "win32":
        assert stat.S_IMODE(answered.path.stat().st_mode) == 0o600
    disclose.close(lite, number, "handed_over", **ME)
    assert not answered.path.exists()
    assert request(lite, number).handed_over_at == NOW


def test_it_is_one_customer_and_nobody_else(lite, tmp_path):
    """Of a family with one address each gets their own; staff and family are no part of a note."""
    ana = buyer(lite)
    put(lite, "employees", {"employee_id": "emp-1", "first_name": "Marisol", "last_name": "Quinn"})
    twin = {"customer_id": "twin-77", "first_name": "Benedict", "last_name": ana["last_name"]}
    put(lite, "customers", {**twin, "email": ana["email"], "phone": "+12125550142"})
    put(lite, "addresses", {"address_id": "adr-77", "customer_id": "twin-77", "street": "7 Oak Rd"})
    sale = next(r for r in content(lite)["sales"] if r["customer_id"] == ana["customer_id"])
    gift = {"entry_id": "gift-77", "customer_id": "twin-77", "sale_id": sale["sale_id"]}
    put(lite, "loyalty", {**gift, "points": 7_777})  # her purchase, his points
    note = "Marisol Quinn says Benedict collects; ring 212-555-0142 or ben@example.org"
    change(lite, "customers", ana["customer_id"], note=note)
    number = verified(lite, ana["email"], customer=ana["customer_id"])
    answered = access(lite, number)
    everything = b"".join(unsealed(answered, tmp_path).values()).decode()

    for text in ("Marisol", "Quinn", "Benedict", "twin-77", "7 Oak Rd", "ben@example", "555-0142",
                 "7777", "7,777"):  # fmt: skip
        assert text not in everything
    assert "[another person] says [another person] collects" in everything
    assert ana["last_name"] in everything
    assert answered.content.taken_out


def test_what_was_changed_is_told_too(lite, tmp_path):
    """An old telephone number is held in the history, so it is the customer's to know."""
    ana = buyer(lite)
    change(lite, "customers", ana["customer_id"], phone="+12125550143", note="x")
    change(lite, "customers", ana["customer_id"], note="ring 212-555-0199")
    change(lite, "customers", ana["customer_id"], note="y")
    told = data(unsealed(access(lite, verified(lite, ana["email"])), tmp_path))

    before = [row["before"] or row["note_before"] for row in told["history"]]
    assert sorted(before, key=str) == sorted(
        [ana["phone"], *filter(None, [ana["note"]]), "x", "ring [another person]"]
    )


def test_the_kinds_of_data_alone_show_no_value(lite, tmp_path):
    """For somebody of whom one cannot be sure enough."""
    ana = buyer(lite)
    number = verified(lite, ana["email"], "categories")
    files = unsealed(access(lite, number), tmp_path)
    everything = b"".join(files.values()).decode()

    assert data(files) == {}
    assert "Identifiers" in everything
    for name in ("email", "phone", "last_name", "customer_id"):
        assert ana[name] not in everything


def test_a_column_that_nobody_wrote_down_stops_it(lite):
    """It is named, no file is written, and the request stays open."""
    ana = buyer(lite)
    number = verified(lite, ana["email"])
    with lite.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE customers ADD COLUMN shoe_size TEXT")
        connection.commit()
    before = request(lite, number)
    with pytest.raises(package.NotWrittenDown, match=r"customers\.shoe_size"):
        access(lite, number)

    assert request(lite, number) == before
    assert not disclose.package_of(lite, number).exists()


def test_a_planted_secret_stops_it(lite):
    """Should one get in by whatever way, nothing leaves the shop."""
    ana = buyer(lite)
    change(lite, "customers", ana["customer_id"], nickname="canary-5f3c")
    number = verified(lite, ana["email"])
    with pytest.raises(outgoing.Leak, match="1 of the secrets") as caught:
        access(lite, number, planted=["canary-5f3c"])

    assert "canary" not in str(caught.value)
    assert not disclose.package_of(lite, number).exists()
    assert request(lite, number).status == "in_progress"


def test_a_hostile_name_harms_nobody(lite, tmp_path):
    """No tag, no formula, no path, no line turned around."""
    ana = buyer(lite)
    change(lite, "customers", ana["customer_id"], nickname=HOSTILE, first_name="=1+1")
    files = unsealed(access(lite, verified(lite, ana["email"])), tmp_path)
    page, table = (files[n].decode("utf-8-sig") for n in ("your-data.html", "csv/customers.csv"))

    assert "<script" not in page
    assert "\u202e" not in page + table
    assert '"\'=1+1"' in table
    assert all(name.count("/") <= 1 and ".." not in name for name in files)
    assert json.loads(files["your-data.json"])["data"]["customers"][0]["nickname"] == HOSTILE


def test_a_mistyped_key_makes_no_file(lite):
    """And the request stays open."""
    number = verified(lite, buyer(lite)["email"])
    with pytest.raises(disclose.NotYet, match="mistyped"):
        access(lite, number, recipient="age1wrong")

    assert not disclose.package_of(lite, number).exists()
    assert request(lite, number).status == "in_progress"


def test_nothing_is_answered_before_it_is_verified(lite):
    """Nor what was asked for otherwise, nor for nobody."""
    number = open_request(lite, buyer(lite)["email"])
    with pytest.raises(disclose.NotYet, match="verify comes first"):
        access(lite, number)
    other = open_request(lite, buyer(lite)["email"], "opt_out")
    with pytest.raises(disclose.WrongKind, match="another step"):
        access(lite, other)
    with pytest.raises(disclose.WrongKind):
        answering.correct(lite, other, {"phone": None}, **ME)
    nobody = open_request(lite, "nobody@example.com", "opt_out")
    with pytest.raises(disclose.NotYet, match="no_match"):
        answering.say_no(lite, nobody, **ME)


@pytest.mark.parametrize("actor", ["sam", "mia", "tom"])
def test_only_owner_and_manager_answer(lite, actor):
    """A cashier who verifies herself must not take everything home; that it was tried is noted."""
    email = buyer(lite)["email"]
    by = {"actor": actor, "now": NOW}
    know, wrong = (verified(lite, email, kind) for kind in ("know", "correct"))
    before = content(lite)["customers"]

    for work in (
        lambda: answering.access(lite, know, laws=LAWS, **by),
        lambda: answering.correct(lite, wrong, {"first_name": "Eve"}, **by),
    ):
        with pytest.raises(NotAllowed, match="It was noted"):
            work()
    assert content(lite)["customers"] == before
    assert not disclose.package_of(lite, know).exists()
    with lite.reading() as connection:
        tried = [one for one in audit.entries(connection, actor=actor)]
    assert [one["action"] for one in tried] == ["refused:disclose"] * 2


def test_a_correction_is_made_and_noted(lite):
    """By the rules of the counter: what cannot be a telephone number is refused."""
    ana = buyer(lite)
    number = verified(lite, ana["email"], "correct", disputed=["phone"])
    with pytest.raises(Exception, match="phone"):
        answering.correct(lite, number, {"phone": "no number"}, **ME)
    assert request(lite, number).status == "in_progress"
    done = answering.correct(lite, number, {"phone": "212-555-0143"}, **ME)

    (row,) = [r for r in content(lite)["customers"] if r["customer_id"] == ana["customer_id"]]
    assert row["phone"] == "+12125550143"
    assert (done.status, done.nature) == ("fulfilled", "corrected: phone")


def test_who_moved_has_a_new_address(lite):
    """By the same rules, with what it said before; where there are two, nobody guesses."""
    ana = buyer(lite)
    (home,) = [r for r in content(lite)["addresses"] if r["customer_id"] == ana["customer_id"]]
    said = {"street": " 2  Elm Street", "postcode": "10001", "first_name": "Anna"}
    number = verified(lite, ana["email"], "correct", disputed=["postcode"])
    done = answering.correct(lite, number, said, **ME)
    seen = held(lite, ana["customer_id"])
    assert (seen["addresses"][0]["street"], seen["customers"][0]["first_name"]) == (
        "2 Elm Street", "Anna",
    )  # fmt: skip
    assert home["street"] in [row["before"] for row in seen["history"]]
    assert done.nature == "corrected: first_name, postcode, street"
    put(lite, "addresses", {"address_id": "second", "customer_id": ana["customer_id"]})
    other = verified(lite, ana["email"], "correct")
    before = content(lite)
    with pytest.raises(counter.CounterError, match="2 addresses"):
        answering.correct(lite, other, {"street": "3 Elm Street", "last_name": "Lee"}, **ME)
    with pytest.raises(disclose.NotYet, match="say what to correct"):
        answering.correct(lite, other, {}, **ME)
    with pytest.raises(disclose.NotYet, match="--about postcode"):
        answering.correct(lite, other, {"postcode": "10002"}, **ME)

    assert content(lite) == before


def test_the_data_and_the_book_are_corrected_together_or_not_at_all(lite, monkeypatch):
    """The power fails between the two: nothing was changed, and the same again does both."""
    ana = buyer(lite)
    number = verified(lite, ana["email"], "correct", disputed=["phone"])
    before = content(lite)

    def fail(*args, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(disclose, "write", fail)
        with pytest.raises(KeyboardInterrupt):
            answering.correct(lite, number, {"phone": "212-555-0143"}, **ME)
    assert content(lite) == before
    assert answering.correct(lite, number, {"phone": "212-555-0143"}, **ME).over


@pytest.mark.parametrize("because", ["revoked", "expired", "suspected_fraud"])
def test_what_is_over_changes_nothing_any_more(lite, because):
    """Who took a request back, or was refused, keeps their data as they are."""
    ana = buyer(lite)
    number = verified(lite, ana["email"], "correct", disputed=["phone"])
    disclose.close(lite, number, because, basis="as they said", **ME)
    before = content(lite)
    with pytest.raises(request_state.NotNow, match="kit request open"):
        answering.correct(lite, number, {"phone": "212-555-0143"}, **ME)

    assert content(lite) == before


def test_a_package_stays_when_it_is_asked_for_once_more(lite, tmp_path):
    """Its passphrase was told already, and there is no other copy."""
    number = verified(lite, buyer(lite)["email"])
    made = access(lite, number)
    with pytest.raises(request_state.NotNow, match="fulfilled"):
        access(lite, number)

    assert "your-data.html" in unsealed(made, tmp_path)


def test_nobody_is_checked_by_what_is_to_be_corrected(lite):
    """Whoever knows the old telephone cannot put their own in its place."""
    ana = buyer(lite)["email"]
    number = open_request(lite, ana, "correct", disputed=["phone"])
    asked = asking.questions(lite, number, laws=LAWS, **ME)
    assert "phone" not in [point.name for point in asked]
    other = verified(lite, ana, "correct")
    with pytest.raises(disclose.NotYet, match="says it is wrong"):
        answering.correct(lite, other, {"phone": "212-555-0143"}, **ME)


@pytest.mark.parametrize(
    ("kind", "purpose"), [("opt_out", consent.SHARING), ("limit", "sensitive use")]
)
def test_a_no_is_kept_with_the_customer(lite, kind, purpose):
    """Nobody is checked, and it stands on the customer, not in a browser."""
    ana = buyer(lite)
    number = open_request(lite, ana["email"], kind, channel="browser")
    done = answering.say_no(lite, number, **ME)

    (row,) = [r for r in content(lite)["consents"] if r["customer_id"] == ana["customer_id"]]
    assert (row["purpose"], row["event"], row["channel"]) == (purpose, "withdrawn", "any")
    assert (done.status, done.outcome) == ("fulfilled", "")


def test_taking_back_ends_every_yes(lite):
    """To all purposes; a no stays a no, and the history of it stays."""
    ana = buyer(lite)["customer_id"]
    for number, purpose, event in (("1", "marketing", "given"), ("2", "loyalty", "stated"),
                                   ("3", "trends", "withdrawn")):  # fmt: skip
        row = {"consent_id": number, "customer_id": ana, "channel": "email", "purpose": purpose}
        put(lite, "consents", {**row, "event": event, "happened_at": NOW - timedelta(days=9)})
    answering.say_no(lite, open_request(lite, buyer(lite)["email"], "withdraw"), **ME)
    found = [consent.Event.from_row(r) for r in content(lite)["consents"]]

    assert len(found) == 5
    states = consent.states(found, at=NOW)
    assert {s.status for s in states.values()} == {"withdrawn"}


# ---- for every shop ----------------------------------------------------------------------------


def erased(shop, customer):
    """Return what an erasure touches: table to keys of rows that go, or lose the name."""
    with shop.reading() as connection:
        made = plan_erasure(connection, shop.tables, customer, rules={})
    touched = {table: {*keys} for table, keys in made.going.items()}
    for (table, _), keys in made.cut.items():
        touched.setdefault(table, set()).update(keys)
    for table, keys in made.emptied.items():
        touched.setdefault(table, set()).update(keys)
    return touched


def test_whatever_is_erased_could_be_seen(shop):
    """For every customer of the shop: rows that go are rows that were given or named."""
    customers = [row["customer_id"] for row in content(shop)["customers"]]
    for customer in customers[:12]:
        seen = held(shop, customer)
        for table, keys in erased(shop, customer).items():
            key = next(iter(shop.tables.tables[table].primary_key)).name
            assert keys <= {row[key] for row in seen[table]}
            assert all(shop.inventory.find(f"{table}.{c}") for row in seen[table] for c in row)


NUMBERS = itertools.count()
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=20)


@given(
    name=TEXT,
    note=TEXT,
    points=st.integers(-50, 5_000),
    sales=st.lists(st.tuples(st.integers(0, 90_000), TEXT), max_size=3),
    token=st.from_regex(r"[a-z0-9]{12,20}", fullmatch=True),
)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_for_any_customer_nothing_is_missing_and_nothing_leaks(
    lite, name, note, points, sales, token
):
    """Whatever they are called and bought: all of it is there, no secret is, then all is gone."""
    token = f"{token}{next(NUMBERS)}"  # the same shop serves all examples
    me, mail = f"any-{token}", f"{token}@example.com"
    put(lite, "customers", {"customer_id": me, "first_name": name, "note": note, "email": mail})
    put(lite, "loyalty", {"entry_id": f"l-{me}", "customer_id": me, "points": points})
    for n, (cents, text) in enumerate(sales):
        sale = f"sal-{n}-{me}"
        put(lite, "sales", {"sale_id": sale, "customer_id": me, "total_cents": cents,
                            "note": text, "sold_at": NOW, "employee_id": None})  # fmt: skip
        secret = f"tok-{n}-{token}"
        put(lite, "payments", {"payment_id": f"p{sale}", "sale_id": sale, "card_token": secret})
    with lite.reading() as connection:
        seen = gathering.gather(lite, connection, me)
        found = gathering.collect(lite, connection, seen, LAWS, NOW.date())
        secrets = gathering.secrets_of(lite, connection, seen)
    files = package.build({"shop": "x"}, found, page=str, zone=lite.settings.zone)
    outgoing.pack(files, secrets=secrets)
    hidden = [f"tok-{n}-{token}" for n in range(len(sales))]

    assert set(hidden) <= set(secrets)
    assert outgoing.leaks(files, hidden) == []
    assert len(seen.get("sales", [])) == len(sales)
    for table, keys in erased(lite, me).items():
        key = next(iter(lite.tables.tables[table].primary_key)).name
        assert keys <= {row[key] for row in seen[table]}
    removals.erase(lite, removals.plan_erasure(lite, me, now=NOW), **ME)
    assert erasure.search(lite.files(), [mail.encode(), *(h.encode() for h in hidden)]) == {}
    assert not any(row["customer_id"] == me for row in content(lite)["customers"])


def test_every_table_of_a_customer_can_be_told(lite):
    """No table hangs on customers that the package would leave out."""
    linked = {
        table.name
        for table in lite.tables.sorted_tables
        for column in table.c
        for link in column.foreign_keys
        if link.column.table.name in EVERYTHING and not table.name.startswith("kit_")
    }

    assert linked <= {*EVERYTHING, "privacy_requests", "stock_moves"}
    query = sa.select(sa.func.count()).select_from(lite.tables.tables["stock_moves"])
    with lite.reading() as connection:
        assert connection.scalar(query) is not None

"""The counter: a sign-up with its proof, a corrected number, a no that counts from then on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from kit import collect, consent, counter, forms, removals, rows
from kit.inventory import Inventory
from kit.shop import Shop

NOW = datetime(2026, 11, 24, 15, tzinfo=UTC)
WORDS = "ocean-teapot-violin-candle-marble-tunnel"
ANSWERS = {
    "customers.first_name": "Ana",
    "customers.last_name": "Çelik",
    "customers.email": "ANA@Example.com ",
    "customers.phone": "(212) 555-0142",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return an open shop; each test signs up customers of its own."""
    folder = tmp_path_factory.mktemp("counter") / "shop"
    with Shop.init(folder, WORDS, name="X", time_zone="America/New_York", now=NOW) as opened:
        yield opened


@pytest.fixture(scope="module")
def ready():
    """Return the example form, fit to be used."""
    return forms.ready(*forms.example(), Inventory.default().fields)


def sign_up(shop, ready, **more):
    """Sign somebody up who ticks every box; return their number and what was taken."""
    answers = {**ANSWERS, **dict.fromkeys(ready.form.boxes, True), **more}
    answers = {k: v for k, v in answers.items() if k in ready.form.fields or k in ready.form.boxes}
    taken = counter.sign_up(shop, ready, answers, source="website", actor="owner", now=NOW)
    return taken.receipt["pii_principal_id"], taken


def stored(shop, customer):
    """Return the customer's row as people read it."""
    with shop.reading() as connection:
        row = rows.get(connection, shop.tables.tables["customers"], customer)
    return shop.opened("customers", [row])[0], row


def test_a_sign_up_is_stored_sealed_with_its_proof(shop, ready):
    """Customer, consents and log entry in one transaction; the receipt lies in the records."""
    customer, taken = sign_up(shop, ready)
    plain, row = stored(shop, customer)

    assert plain["email"] == "ANA@example.com"
    assert plain["phone"] == "+12125550142"
    assert b"example.com" not in row["email"]
    receipt = json.loads(
        (shop.folder / "records" / f"{taken.receipt['record_id']}.json").read_bytes()
    )
    with shop.reading() as connection:
        kept = rows.find(connection, shop.tables.tables["consents"], {"customer_id": customer})
    assert len(kept) == len(ready.form.boxes)
    assert {row["receipt_sha256"] for row in kept} == {collect.digest(receipt)}
    assert [c.id for c in shop.find("ana@EXAMPLE.com", actor="owner", purpose="sale", now=NOW)]


def test_a_refused_sign_up_leaves_nothing(shop, ready):
    """No customer, no consent, no receipt."""
    before = sorted((shop.folder / "records").iterdir())

    with pytest.raises(collect.Refused):
        sign_up(shop, ready, **{"customers.email": "no address"})
    assert sorted((shop.folder / "records").iterdir()) == before


def test_a_change_is_tidied_sealed_and_found(shop, ready):
    """The new telephone number finds the customer, the old one does not; who did it is known."""
    customer, _ = sign_up(shop, ready, **{"customers.phone": "+12125550177"})
    counter.change(
        shop, customer, {"phone": "212 555 0178", "note": "white roses"},
        version=1, actor="owner", now=NOW,
    )  # fmt: skip

    assert stored(shop, customer)[0]["phone"] == "+12125550178"
    found = shop.find("+12125550178", actor="owner", purpose="sale", now=NOW)
    assert [seen.id for seen in found] == [customer]
    assert shop.find("+12125550177", actor="owner", purpose="sale", now=NOW) == []
    assert {c.column for c in shop.who(customer, actor="owner", now=NOW)[1]} >= {"phone", "note"}


def test_a_colleagues_change_is_not_lost(shop, ready):
    """Who read the row before is told."""
    customer, _ = sign_up(shop, ready)
    counter.change(shop, customer, {"note": "a"}, version=1, actor="owner", now=NOW)

    with pytest.raises(rows.Conflict):
        counter.change(shop, customer, {"note": "b"}, version=1, actor="owner", now=NOW)
    assert stored(shop, customer)[0]["note"] == "a"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"note": "card 4242 4242 4242 4242"}, "card number", id="card"),
        pytest.param({"note": "allergic to nuts"}, "health", id="health"),
        pytest.param({"email": "nobody"}, "email", id="address"),
        pytest.param({"shoe_size": "42"}, "inventory", id="not written down"),
        pytest.param({"version": "9"}, "inventory", id="not theirs"),
    ],
)
def test_what_must_not_be_kept_is_refused(shop, ready, changes, says):
    """The reason is told, the value is not."""
    customer, _ = sign_up(shop, ready)

    with pytest.raises(counter.CounterError, match=says) as caught:
        counter.change(shop, customer, changes, version=1, actor="owner", now=NOW)
    assert "4242" not in str(caught.value)
    assert stored(shop, customer)[0]["note"] is None


def test_a_no_counts_from_then_on(shop, ready):
    """The state of yesterday can still be asked, and a second no says that there was none left."""
    customer, taken = sign_up(shop, ready)
    purpose = taken.consents[0]["purpose"]
    later = NOW + timedelta(days=1)

    ended = counter.withdraw(
        shop, customer, purpose=purpose, source="till", actor="owner", now=later
    )

    states = counter.consents(shop, customer, at=later).values()
    assert ended == sum(one["purpose"] == purpose for one in taken.consents)
    assert all(
        state.yes == (key[2] != purpose)
        for key, state in counter.consents(shop, customer, at=later).items()
    )
    assert all(state.yes for state in counter.consents(shop, customer, at=NOW).values())
    assert any(isinstance(state, consent.State) for state in states)
    with pytest.raises(counter.CounterError, match="took it back already"):
        counter.withdraw(shop, customer, purpose=purpose, source="till", actor="owner", now=later)


def test_a_yes_runs_out_when_its_receipt_says_so(shop, ready):
    """Two years were promised for offers; a receipt that was altered promises nothing."""
    customer, taken = sign_up(shop, ready)
    (number,) = [n for n, days in taken.receipt["validity_duration"].items() if days == "P730D"]

    def offers(days):
        states = counter.consents(shop, customer, at=NOW + timedelta(days=days))
        return {key[2]: state.status for key, state in states.items()}

    assert offers(729) == {"loyalty": "given", "marketing": "given"}
    assert offers(730) == {"loyalty": "given", "marketing": "expired"}
    path = shop.folder / "records" / f"{number.rpartition('.')[0]}.json"
    path.write_bytes(path.read_bytes().replace(b"P730D", b"P1D"))
    assert offers(2)["marketing"] == "given"


def test_a_yes_that_ran_out_is_written_down_once(tmp_path, ready):
    """Else it would stand for ever, and whoever gave it would never be let go of."""
    late = NOW + timedelta(days=800)
    with Shop.init(tmp_path / "x", WORDS, name="X", time_zone="UTC", now=NOW) as own:
        customer, _ = sign_up(own, ready)
        plan = removals.plan_expiry(own, now=late)
        done = [removals.expire(own, plan, actor="owner", now=late) for _ in range(2)]
        states = counter.consents(own, customer, at=late)
        with own.reading() as connection:
            found = rows.find(connection, own.tables.tables["consents"], {"event": "expired"})

    assert [one.consents for one in done] == [1, 0]
    (over,) = found
    assert (over["purpose"], over["happened_at"]) == ("marketing", NOW + timedelta(days=730))
    assert {key[2]: s.status for key, s in states.items()} == {
        "loyalty": "given",
        "marketing": "expired",
    }


def test_a_yes_that_only_the_till_tells_of_can_be_taken_back(shop):
    """Most yeses came with an import; the column that staff and marketing read says no, too."""
    said = {"customer_id": "till-1", "accepts_email": True, "accepts_sms": True}
    with shop.writing("owner", NOW) as connection:
        rows.add(connection, shop.tables.tables["customers"], said)
    more = {"purpose": "marketing", "source": "till", "actor": "owner"}

    assert counter.withdraw(shop, "till-1", now=NOW, **more) == 2
    plain, _ = stored(shop, "till-1")
    assert (plain["accepts_email"], plain["accepts_sms"]) == (False, False)
    states = counter.consents(shop, "till-1", at=NOW)
    assert {key[1:]: state.status for key, state in states.items()} == {
        ("email", "marketing"): "withdrawn",
        ("sms", "marketing"): "withdrawn",
    }
    with pytest.raises(counter.CounterError, match="took it back already"):
        counter.withdraw(shop, "till-1", now=NOW, **more)


def test_an_address_of_the_form_is_stored_beside_the_customer(shop):
    """A delivery form asks for a street; the row hangs on the customer."""
    form, notice = forms.example()
    field = next(iter(form.fields.values()))
    ready = _Asked(forms.ready(form, notice, Inventory.default().fields), field)

    taken = counter.sign_up(
        shop, ready, {**answers_to(ready), "addresses.street": "1 Elm Street"},
        source="website", actor="owner", now=NOW,
    )  # fmt: skip
    with shop.reading() as connection:
        mine = {"customer_id": taken.receipt["pii_principal_id"]}
        found = rows.find(connection, shop.tables.tables["addresses"], mine)
    assert shop.opened("addresses", found)[0]["street"] == "1 Elm Street"


class _Asked:
    """The example form with one question more, as a delivery service would ask it."""

    def __init__(self, ready, field):
        self._ready, self.form = ready, _Form(ready.form, field)

    def terms(self, ticked, given):
        """Return the notice's half of the receipt."""
        return self._ready.terms(
            ticked, [name for name in given if name in self._ready.form.fields]
        )


class _Form:
    """The form's fields with the street among them."""

    def __init__(self, form, field):
        self.fields = {**form.fields, "addresses.street": field}
        self.boxes, self.online, self.offline = form.boxes, form.online, form.offline


def answers_to(ready):
    """Return answers to a form, every box ticked."""
    asked = {k: v for k, v in ANSWERS.items() if k in ready.form.fields}
    return {**asked, **dict.fromkeys(ready.form.boxes, True)}

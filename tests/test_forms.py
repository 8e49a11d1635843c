"""A form asks for nothing without a reason, and for nothing that its notice does not name."""

from __future__ import annotations

import shutil
import unicodedata
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import forms, tidy
from kit.forms import BadFile, Box, Field, Form, FormsError, Incentive, NotFit, Notice
from kit.inventory import Inventory

UNHURRIED = settings(deadline=None)  # a busy machine is no failure
FORM, NOTICE = forms.example()
HELD = Inventory.default().fields

# Made with the first version and kept: old consents point to this text.
SHA256 = "9ac588896239f76bd945e32954b3a1dc309e066b6e360a89e9d62f21b685daed"


def form(fields=None, boxes=None, **more):
    """Return the example with other or additional parts."""
    return replace(
        FORM,
        fields={**FORM.fields, **(fields or {})},
        boxes={**FORM.boxes, **(boxes or {})},
        **more,
    )


def notice(fields=None, purposes=None, **more):
    """Likewise for the notice."""
    fields = {k: v for k, v in {**NOTICE.fields, **(fields or {})}.items() if v}
    purposes = {k: v for k, v in {**NOTICE.purposes, **(purposes or {})}.items() if v}
    return replace(NOTICE, fields=fields, purposes=purposes, **more)


def asks(name, **more):
    """Return the example with one more question, or another one under this name."""
    return form({name: Field(**{"label": "x", "type": "text", "purposes": ("loyalty",), **more})})


def test_the_example_fits():
    """The form and the notice that come with the kit may be used as they are."""
    assert forms.check_form(FORM, NOTICE, HELD) == []
    assert forms.ready(FORM, NOTICE, HELD).form is FORM


WITHOUT_PHONE = {k: v for k, v in HELD.items() if k != "customers.phone"}
CARD = SimpleNamespace(purposes=("loyalty",), keep="1 year after sale", kind="payment")


@pytest.mark.parametrize(
    ("asked", "told", "held", "problem"),
    [
        pytest.param(
            asks("customers.phone", purposes=()), NOTICE, HELD,
            "customers.phone: says no purpose; write down what it is for, or take it off the form",
            id="no purpose",
        ),
        pytest.param(
            FORM, notice({"customers.birthday": None}), HELD,
            "customers.birthday: the notice does not name it; add it there, text included, "
            "or take it off the form",
            id="not in the notice",
        ),
        pytest.param(
            FORM, NOTICE, WITHOUT_PHONE,
            "customers.phone: not in the inventory; write it down there first, "
            "or take it off the form",
            id="not in the inventory",
        ),
        pytest.param(
            form(boxes={"offers_by_email": replace(FORM.boxes["offers_by_email"], ticked=True)}),
            NOTICE, HELD,
            "box offers_by_email: ticked beforehand, which is no consent; leave it empty",
            id="ticked beforehand",
        ),
        pytest.param(
            FORM, notice(incentive=replace(NOTICE.incentive, value="")), HELD,
            "notice, incentive: lacks its value; add it, in the text too",
            id="incentive notice without the value of the data",
        ),
        pytest.param(
            asks("customers.phone", purposes=("marketing",)), NOTICE, HELD,
            "customers.phone: not held for marketing in the inventory; drop that purpose",
            id="a purpose that the inventory lacks",
        ),
        pytest.param(
            asks("customers.first_name", purposes=("marketing",)), NOTICE, HELD,
            "customers.first_name: the notice does not say marketing; say so there, or drop it",
            id="a purpose that the notice lacks",
        ),
        pytest.param(
            asks("customers.phone"), NOTICE, {**HELD, "customers.phone": CARD},
            "customers.phone: no form asks for payment data; take it off the form",
            id="card data",
        ),
        pytest.param(
            FORM,
            notice({"customers.phone": replace(NOTICE.fields["customers.phone"], keep="rewards")}),
            HELD,
            "customers.phone: kept 3 years after last purchase, but the notice says rewards; "
            "make them one",
            id="kept longer than promised",
        ),
        pytest.param(
            replace(FORM, kind="checkout"), NOTICE, HELD,
            "customers.first_name: nobody has to give it in order to pay; make it optional",
            id="a name as the price of paying",
        ),
        pytest.param(
            replace(FORM, boxes={"join": FORM.boxes["join"]}), NOTICE, HELD,
            "customers.email: marketing needs a yes, and no box asks for one; add a box",
            id="no box for a purpose that needs one",
        ),
        pytest.param(
            form(boxes={"offers_by_email": Box("x", "marketing", required=True)}), NOTICE, HELD,
            "box offers_by_email: makes a yes the price of something else; make it optional",
            id="offers as the price of points",
        ),
        pytest.param(
            form(boxes={"x": Box("x", "staffing")}), NOTICE, WITHOUT_PHONE,
            "box x: the notice does not say staffing; add it under [purposes]",
            id="a box whose purpose the notice lacks",
        ),
        pytest.param(
            form(boxes={"x": Box("x", "fun")}), NOTICE, HELD,
            "box x: fun is no purpose of the inventory; take one of those",
            id="a box whose purpose the inventory lacks",
        ),
        pytest.param(
            FORM,
            notice(purposes={"loyalty": replace(NOTICE.purposes["loyalty"], basis="contract")}),
            HELD,
            'box join: the notice bases it on contract; say basis = "consent"',
            id="a box for what is no consent",
        ),
        pytest.param(
            form(boxes={"x": Box("x", "loyalty", needs="customers.company")}), NOTICE, HELD,
            "box x: the form does not ask customers.company for loyalty; make it fit",
            id="a box that needs a field nobody asks",
        ),
        pytest.param(
            form(boxes={"x": Box("x", "marketing", needs="customers.phone")}), NOTICE, HELD,
            "box x: the form does not ask customers.phone for marketing; make it fit",
            id="a box that needs a field asked for something else",
        ),
        pytest.param(
            replace(FORM, boxes={"offers_by_email": FORM.boxes["offers_by_email"]}), NOTICE, HELD,
            'boxes: nobody is asked to join; add a box with purpose = "loyalty"',
            id="a points programme that nobody joins",
        ),
        pytest.param(
            replace(FORM, notice="notice_2030"), NOTICE, HELD,
            "notice: not the one that the form names; hand over notice_2030",
            id="another notice",
        ),
        pytest.param(
            replace(FORM, language="es"), NOTICE, HELD,
            "language: form and notice are in two languages; translate one of them",
            id="two languages",
        ),
        pytest.param(
            FORM, notice(sold_or_shared="We sell nothing."), HELD,
            "notice, sold_or_shared: does not stand in the text; use the same words",
            id="a claim that the text does not make",
        ),
        pytest.param(
            FORM, notice(withdrawal=" "), HELD,
            "notice, withdrawal: does not stand in the text; use the same words",
            id="no way to stop",
        ),
        pytest.param(
            FORM, notice(storage=("in a cloud",)), HELD,
            "notice, storage 1: does not stand in the text; use the same words",
            id="stored elsewhere",
        ),
        pytest.param(
            FORM,
            notice(purposes={
                "marketing": replace(NOTICE.purposes["marketing"], recipients=("Example Ads",))
            }),
            HELD,
            "notice, recipient 1 of marketing: does not stand in the text; use the same words",
            id="a recipient that the text does not name",
        ),
        pytest.param(
            FORM, notice(incentive=replace(NOTICE.incentive, method="by dice")), HELD,
            "notice, incentive, method: does not stand in the text; use the same words",
            id="an incentive that the text does not explain",
        ),
        pytest.param(
            FORM, notice(purposes={"marketing": None}), HELD,
            "notice, customers.email: marketing is not explained; add it to [purposes]",
            id="a purpose without a sentence",
        ),
    ],
)  # fmt: skip
def test_refuses(asked, told, held, problem):
    """Each way to ask too much has its own sentence, which ends with what to do."""
    assert problem in map(str, forms.check_form(asked, told, held))
    with pytest.raises(NotFit) as caught:
        forms.ready(asked, told, held)
    assert isinstance(caught.value, FormsError)
    assert problem in map(str, caught.value.problems)
    assert problem in str(caught.value)


def test_all_problems_come_at_once():
    """The owner mends the form in one go: birthday not in the notice, no value of the data."""
    told = notice({"customers.birthday": None}, incentive=Incentive())
    asked = form({"customers.shoe_size": Field("x", "text")}, {"x": Box("x", "fun", ticked=True)})

    found = {(problem.where, problem.what) for problem in forms.check_form(asked, told, HELD)}

    assert {part for where, part in found if where == "notice, incentive"} == {
        f"lacks its {part}"
        for part in ("summary", "terms", "opt_in", "withdraw", "value", "method", "deletion")
    }
    assert ("customers.birthday", "the notice does not name it") in found
    assert ("customers.shoe_size", "not in the inventory") in found
    assert ("customers.shoe_size", "says no purpose") in found
    assert ("box x", "ticked beforehand, which is no consent") in found


def test_other_forms_need_no_incentive_notice():
    """Only who gives points in return for data has to put a value on it."""
    asked = replace(FORM, kind="contact", boxes={"offers": FORM.boxes["offers_by_email"]},
                    fields={"customers.email": FORM.fields["customers.email"]})  # fmt: skip
    asked = replace(
        asked, fields={"customers.email": replace(asked.fields["customers.email"],
                                                  purposes=("marketing",))}
    )  # fmt: skip

    assert forms.check_form(asked, notice(incentive=Incentive()), HELD) == []


def test_a_notice_is_known_by_its_text():
    """A consent of long ago still points to the words that were read then."""
    assert NOTICE.sha256 == SHA256
    assert notice(text=NOTICE.text.replace("\n", "\r\n")).sha256 == SHA256
    assert notice(text=f"\n{NOTICE.text}\n\n").sha256 == SHA256
    assert notice(text=NOTICE.text.replace("never the year", "and the year")).sha256 != SHA256
    assert notice(language="es").sha256 != SHA256
    assert notice(text="Caf\u00e9").sha256 == notice(text="Cafe\u0301").sha256


@UNHURRIED
@given(st.text(), st.text())
def test_two_texts_have_two_hashes(one, other):
    """Unless they differ in what no reader sees: the kind of line end, or blanks around."""
    hashes = {notice(text=f"x{text}x").sha256 for text in (one, other)}

    assert (len(hashes) == 1) == (
        unicodedata.normalize("NFC", "\n".join(f"x{one}x".splitlines()))
        == unicodedata.normalize("NFC", "\n".join(f"x{other}x".splitlines()))
    )


def test_the_shelf_finds_old_notices(tmp_path):
    """When the notice changes, old consents lead to the old text and new ones to the new."""
    old = forms.FOLDER / "notice_2026.toml"
    shutil.copy(old, tmp_path)
    text = old.read_text(encoding="utf-8")
    text = text.replace("notice_2026", "notice_2027").replace("4 dollars", "5 dollars")
    (tmp_path / "notice_2027.toml").write_text(text, encoding="utf-8")

    shelf = forms.shelf(tmp_path)

    assert len(shelf) == 2
    assert shelf[SHA256].text == NOTICE.text
    assert {notice.id for notice in shelf.values()} == {"notice_2026", "notice_2027"}


def test_a_form_is_known_by_all_it_says():
    """Who changes a label and forgets the version is found out."""
    assert form().sha256 == FORM.sha256
    assert replace(FORM, version=2).sha256 != FORM.sha256
    assert form(boxes={"join": replace(FORM.boxes["join"], label="Join")}).sha256 != FORM.sha256


def test_terms_name_only_what_was_agreed_to():
    """Without the tick for offers, the receipt says nothing about offers."""
    ready = forms.ready(FORM, NOTICE, HELD)

    terms = ready.terms(["join"], ["customers.email"])

    assert terms["purposes"] == {"loyalty": "to count your points and give you rewards"}
    assert terms["lawful_basis"] == {"loyalty": "consent"}
    assert terms["pii_information"] == {"customers.email": "your e-mail address"}
    assert terms["retention_period"] == {"customers.email": "3 years after last purchase"}
    assert terms["notice_hash"] == SHA256
    assert ready.terms(["offers_by_email"], [])["recipients"] == {"marketing": ["Example Mailings"]}


def test_terms_name_purposes_that_need_no_yes():
    """What is done because the law or a contract asks for it is on the receipt too."""
    told = notice(purposes={"loyalty": replace(NOTICE.purposes["loyalty"], basis="contract")})
    ready = forms.Ready(FORM, told)

    assert ready.terms([], ["customers.email"])["lawful_basis"] == {"loyalty": "contract"}


def test_types_are_those_that_can_be_read():
    """A form cannot ask for what `tidy` would not know how to read."""
    assert forms.TYPES == tidy.LONGEST
    assert {name: FORM.fields[name].longest for name in ("customers.email", "customers.phone")} == {
        "customers.email": 254,
        "customers.phone": 40,
    }


GOOD = (forms.FOLDER / "loyalty_signup.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param("format = 1", "", "must say `format = 1` on top; add it", id="no format"),
        pytest.param("format = 1", "format = 2", "must say `format = 1`", id="a newer format"),
        pytest.param('id = "', 'id = ', "not TOML: ", id="not TOML"),
        pytest.param('title = "Join our points programme"', "", "lacks title; add a line for each",
                     id="a key is missing"),
        pytest.param('title =', 'titel =', "unknown key 'titel'; allowed are id, version,",
                     id="an unknown key"),
        pytest.param('kind = "loyalty"', 'kind = "game"', "kind must be one of: loyalty, contact",
                     id="an unknown kind"),
        pytest.param("version = 1", 'version = "1"', "version must be a whole number, 0 or more",
                     id="text for a number"),
        pytest.param("version = 1", "version = true", "version must be a whole number, 0 or more",
                     id="true for a number"),
        pytest.param("version = 1", "version = -1", "version must be a whole number, 0 or more",
                     id="a number below zero"),
        pytest.param('type = "phone"', 'type = "fax"',
                     '[fields.customers.phone]: type must be one of: id, name', id="unknown type"),
        pytest.param('type = "phone"', 'type = "choice"',
                     "a field of type choice, and no other, lists its choices", id="no choices"),
        pytest.param('label = "Telephone"', "label = 7", "label must be text in quotes",
                     id="a number for text"),
        pytest.param("required = true", 'required = "yes"', "required must be true or false",
                     id="text for true"),
        pytest.param('online = ["website"]', 'online = "website"', "online must be a list of texts",
                     id="text for a list"),
        pytest.param('online = ["website"]', 'online = [1]', "online must be a list of texts",
                     id="numbers in a list"),
        pytest.param('online = ["website"]', 'online = [""]', "online must be a list of texts",
                     id="an empty text in a list"),
        pytest.param("[boxes.join]", "[boxes]\njoin = 1\n[boxes.other]",
                     "[boxes.join] must be a section of its own", id="a box that is no section"),
    ],
)  # fmt: skip
def test_says_what_is_wrong_with_a_file(tmp_path, old, new, says):
    """Whoever writes a form by hand learns which line to mend."""
    path = tmp_path / "mine.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")

    with pytest.raises(BadFile) as caught:
        Form.load(path)

    assert "mine.toml" in str(caught.value)
    assert says in str(caught.value)


def test_says_that_sections_are_missing(tmp_path):
    """`boxes = 3` is not an empty list of boxes."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.partition("[fields")[0] + "boxes = 3\n", encoding="utf-8")

    with pytest.raises(BadFile, match=r"boxes must be sections such as \[boxes.NAME\]"):
        Form.load(path)


def test_says_that_a_file_cannot_be_read(tmp_path):
    """A wrong name and a wrong encoding end in one plain line."""
    (tmp_path / "latin.toml").write_bytes('format = 1\ntitle = "Caf\u00e9"'.encode("latin-1"))

    for name in ("latin.toml", "nothing.toml"):
        with pytest.raises(BadFile, match=f"{name}: cannot be read; is it there, and UTF-8"):
            Notice.load(tmp_path / name)


def test_a_mark_of_a_windows_editor_does_no_harm(tmp_path):
    """Notepad puts an invisible mark before the first line."""
    (tmp_path / "mine.toml").write_text("\ufeff" + GOOD, encoding="utf-8")

    assert Form.load(tmp_path / "mine.toml") == FORM


def test_parts_made_in_python_are_checked_too():
    """A developer who builds a form in code meets the same refusals."""
    with pytest.raises(BadFile, match="basis must be one of: consent"):
        forms.Reason("to do things", "because")
    with pytest.raises(BadFile, match="purposes must be a list of texts"):
        Field("Name", "name", purposes="loyalty")
    assert Field("Size", "choice", ("sale",), choices=("S", "M")).longest == 80
    assert Field("Name", "name", ("sale",), longest=20).longest == 20

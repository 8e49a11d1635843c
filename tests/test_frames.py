"""A whole table is sealed in one call and comes back as it was, or nothing happens at all."""

from __future__ import annotations

import io
import re
import traceback
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import new_keyring

from kit import kinds
from kit.blind_index import BlindIndex
from kit.encrypt import AlreadySealed, BadToken, CannotDecrypt, Cipher, looks_sealed, to_text
from kit.frames import BadPlan, FramesError, HalfSealed, _is_sealed, seal_frame, unseal_frame
from kit.pseudonyms import Pseudonyms

RING = new_keyring("pseudonyms:lab")
CIPHER = Cipher(RING, kinds=kinds)
STAND_INS = Pseudonyms(RING, "lab")
NEW_YORK = ZoneInfo("America/New_York")
FALL = datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK)  # the hour that comes twice
AT = {"cipher": CIPHER, "table": "customers", "key_column": "id"}
COLUMNS = {
    "id": [1, 2, 3],
    "email": ["ana@example.com", None, "ben@example.com"],
    "phone": ["+12125550143", "+12125550144", None],
    "born": [date(1984, 2, 29), None, date(1990, 1, 1)],
    "seen": [FALL, FALL.replace(fold=1), None],
    "limit": [Decimal("20.00"), Decimal("9000.50"), None],
    "points": [7, None, 2**60 + 1],
    "letters": [True, None, False],
    "weight": [0.1, None, 2.5],
    "photo": [b"\xff\xd8", b"", None],
    "city": ["Springfield", "Springfield", "Shelbyville"],
}
SECRET = [name for name in COLUMNS if name not in ("id", "city")]
BOTH = pytest.mark.parametrize("library", ["pandas", "arrow"])


def number(column, values):
    """Make the index of a column of e-mail addresses."""
    return BlindIndex(RING).numbers(column, values, kind="e-mail", bits=5)


def made(library, columns=COLUMNS):
    """Return the columns as a DataFrame with an index of its own, or as an Arrow table."""
    if library == "arrow":
        return pa.table(columns)
    return pd.DataFrame(
        {name: pd.Series(cells, dtype=object) for name, cells in columns.items()}
    ).set_index(pd.Index(list("xyz")[: len(columns["id"])], name="shelf"))


def cells(frame, name):
    """Return a column as plain values with None for gaps."""
    if isinstance(frame, pa.Table):
        return frame.column(name).to_pylist()
    return [None if cell is pd.NA or cell != cell else cell for cell in frame[name].tolist()]


def names(frame):
    """Return the names of the columns."""
    return list(frame.columns if isinstance(frame, pd.DataFrame) else frame.column_names)


def shown(error):
    """Return all that a log could show of an error, and of what it came from."""
    texts = ["".join(traceback.format_exception(error))]
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


@BOTH
@pytest.mark.parametrize("text", [None, to_text], ids=["bytes", "text"])
def test_a_table_comes_back_as_it_was(library, text):
    """Every kind of column, gaps and all, in the order it had."""
    frame = made(library)
    sealed = seal_frame(frame, dict.fromkeys(SECRET, "seal"), to_text=text, **AT)
    opened = unseal_frame(sealed, SECRET, **AT)

    assert type(sealed) is type(opened) is type(frame)
    assert names(sealed) == names(opened) == names(frame)
    for name, values in COLUMNS.items():
        assert cells(opened, name) == values
        kept = {type(cell) for cell in cells(sealed, name)} - {type(None)}
        if name in SECRET:
            assert kept == {str if text else bytes}
            gaps = [cell is None for cell in cells(sealed, name)]
            assert gaps == [value is None for value in values]
        else:
            assert cells(sealed, name) == values
    assert [seen.fold for seen in cells(opened, "seen")[:2]] == [0, 1]


@BOTH
def test_nothing_of_the_sealed_columns_is_left(library):
    """What leaves the till's PC holds no address, in no form."""
    sealed = seal_frame(made(library), dict.fromkeys(SECRET, "seal"), to_text=to_text, **AT)
    text = sealed.to_csv() if library == "pandas" else str(sealed.to_pylist())

    assert not re.search("example|5550143|1984|9000|ana", text)
    assert "Springfield" in text


@BOTH
def test_nothing_is_changed_in_place(library):
    """The table that was handed over stays as it is, if all goes well and if not."""
    frame, before = made(library), made(library)
    seal_frame(frame, {"email": "seal and index", "phone": "seal"}, number=number, **AT)
    with pytest.raises(BadPlan):
        seal_frame(frame, {"email": "seal", "fax": "seal"}, **AT)

    assert frame.equals(before)


def test_the_index_of_a_data_frame_stays():
    """Rows are bound to their key, not to their label; labels may even stand twice."""
    for index in (
        ["z", "y", "x"],
        [1, 1, np.nan],
        pd.MultiIndex.from_arrays([[1, 1, 2], list("aba")]),
    ):
        frame = made("pandas").set_index(pd.Index(index))
        sealed = seal_frame(frame, {"email": "seal"}, **AT)
        opened = unseal_frame(sealed, ["email"], **AT)

        assert sealed.index.equals(frame.index)
        assert opened.index.equals(frame.index)
        assert cells(opened, "email") == COLUMNS["email"]


@BOTH
def test_rows_may_be_sorted_and_left_out_in_between(library):
    """A token goes where its row goes."""
    sealed = seal_frame(made(library), {"email": "seal"}, **AT)
    if library == "pandas":
        part = sealed.sort_values("id", ascending=False).head(2)
    else:
        part = sealed.sort_by([("id", "descending")]).slice(0, 2)

    assert cells(unseal_frame(part, ["email"], **AT), "email") == ["ben@example.com", None]


@BOTH
def test_a_table_without_rows_is_sealed_too(library):
    """The export of a day without customers does not stop the job."""
    frame = made(library, {"id": [], "email": [], "phone": []})
    plan = {"email": "seal and index", "phone": "pseudonym"}
    for text in (None, to_text):
        sealed = seal_frame(
            frame, plan, number=number, stand_in=STAND_INS.one_way, to_text=text, **AT
        )

        assert names(sealed) == ["id", "email", "phone", "email_index"]
        assert names(unseal_frame(sealed, ["email"], **AT)) == ["id", "email", "phone"]
        if library == "arrow":
            types = [sealed.schema.field(name).type for name in names(sealed)[1:]]
            assert types == [pa.string() if text else pa.binary(), pa.string(), pa.int64()]


@BOTH
def test_a_column_without_values_is_sealed_too(library):
    """Nobody gave a phone number yet."""
    frame = made(library, {"id": [1, 2], "phone": [None, None]})
    sealed = seal_frame(frame, {"phone": "seal"}, **AT)

    assert cells(unseal_frame(sealed, ["phone"], **AT), "phone") == [None, None]


def test_a_csv_file_goes_there_and_back():
    """Sealed, saved as CSV, read by another program, opened: nothing is lost."""
    frame = made("pandas").reset_index(drop=True)
    file = io.StringIO()
    seal_frame(frame, dict.fromkeys(SECRET, "seal"), to_text=to_text, **AT).to_csv(
        file, index=False
    )
    file.seek(0)
    opened = unseal_frame(pd.read_csv(file), SECRET, **AT)

    for name, values in COLUMNS.items():
        assert cells(opened, name) == values


@BOTH
def test_the_index_and_the_stand_ins_stand_beside(library):
    """A shop finds a customer by address, and a lab gets stand-ins that join."""
    plan = {"email": "seal and index", "phone": "pseudonym", "city": "open", "fax": "open"}
    sealed = seal_frame(made(library), plan, number=number, stand_in=STAND_INS.one_way, **AT)

    assert names(sealed) == [*COLUMNS, "email_index"]
    assert cells(sealed, "email_index") == number("customers.email", COLUMNS["email"])
    assert cells(sealed, "phone") == STAND_INS.one_way(COLUMNS["phone"])
    assert cells(sealed, "city") == COLUMNS["city"]
    opened = unseal_frame(sealed, ["email"], **AT)
    assert names(opened) == list(COLUMNS)


def test_pandas_gives_a_column_the_type_that_holds_it():
    """Numbers with gaps do not turn into floats, which would round the large ones."""
    plan = dict.fromkeys(SECRET, "seal")
    opened = unseal_frame(seal_frame(made("pandas"), plan, **AT), SECRET, **AT)
    types = {name: str(opened[name].dtype) for name in SECRET}

    assert types == {
        "email": "str", "phone": "str", "born": "object", "limit": "object", "photo": "object",
        "seen": "datetime64[us, America/New_York]", "points": "Int64", "letters": "boolean",
        "weight": "float64",
    }  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([2**63 + 1, None], id="large with a gap"),
        pytest.param([2**63 + 1, 5], id="large"),
        pytest.param([2**70, -1], id="very large"),
        pytest.param([-(2**63), None], id="the least"),
        pytest.param([-(2**63) - 1, None], id="below the least"),
        pytest.param([1, 2.5], id="whole and broken"),
        pytest.param([1, True], id="number and flag"),
        pytest.param([1, "1"], id="number and text"),
        pytest.param([date(2026, 1, 1), datetime(2026, 1, 1, 9, tzinfo=UTC)], id="date and time"),
        pytest.param([FALL, FALL.astimezone(UTC)], id="two zones"),
        pytest.param([FALL.astimezone(timezone(timedelta(hours=5.5)))] * 2, id="an offset"),
        pytest.param([Decimal("1.0"), Decimal("2.00")], id="places"),
        pytest.param([Decimal("Infinity"), None], id="infinity"),
        pytest.param([datetime(1, 1, 1, tzinfo=UTC), None], id="long ago"),
    ],
)
def test_pandas_changes_no_value(values):
    """What pandas would round or convert is kept as it is."""
    frame = made("pandas", {"id": [1, 2], "x": values})
    opened = unseal_frame(seal_frame(frame, {"x": "seal"}, **AT), ["x"], **AT)
    back = cells(opened, "x")

    assert list(map(str, back)) == list(map(str, values))
    assert back == values


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([1, 2.5], id="whole and broken"),
        pytest.param([1, True], id="number and flag"),
        pytest.param([date(2026, 1, 1), datetime(2026, 1, 1, 9, tzinfo=UTC)], id="date and time"),
        pytest.param([FALL, FALL.astimezone(UTC)], id="two zones"),
        pytest.param([2**70, None], id="very large"),
        pytest.param([Decimal("Infinity"), None], id="infinity"),
        pytest.param([FALL.astimezone(timezone(timedelta(seconds=1172))), None], id="odd offset"),
    ],
)
def test_what_arrow_would_change_is_refused(values):
    """Arrow makes a date of a moment without a word; that is an error here."""
    tokens = CIPHER.seal_column(values, table="customers", column="x", rows=[1, 2])
    sealed = pa.table({"id": [1, 2], "x": tokens})

    with pytest.raises(
        BadPlan, match="^x: Arrow cannot hold .*; open it with unseal_col"
    ) as caught:
        unseal_frame(sealed, ["x"], **AT)
    assert not re.search("2026|2.5|Inf|118059", str(caught.value) + repr(vars(caught.value)))
    assert caught.value.__context__ is None


def test_an_arrow_table_made_of_a_data_frame_goes_back_to_one():
    """Notes on the old types, which pandas leaves in a table, do not stand in the way."""
    frame = pd.DataFrame(
        {
            "id": [1, 2],
            "points": pd.array([7, None], dtype="Int64"),
            "email": pd.array(["ana@example.com", None], dtype="string"),
            "stars": pd.array([5, 4], dtype="Int8"),
        },
        index=pd.Index([70, 80], name="shelf"),
    )
    table = pa.Table.from_pandas(frame).replace_schema_metadata(
        {**pa.Table.from_pandas(frame).schema.metadata, b"till": b"2"}
    )
    sealed = seal_frame(table, {"points": "seal", "email": "seal"}, **AT)
    back = sealed.to_pandas()

    assert list(back.index) == [70, 80]
    assert str(back["stars"].dtype) == "Int8"
    assert type(back["points"].iloc[0]) is bytes
    assert sealed.schema.metadata[b"till"] == b"2"
    assert unseal_frame(sealed, ["points", "email"], **AT).to_pylist() == table.to_pylist()


texts = st.one_of(st.none(), st.text(), st.integers(-(2**63), 2**63 - 1), st.dates(), st.booleans())


@settings(max_examples=30)
@given(values=st.lists(texts.filter(lambda v: not looks_sealed(v)), max_size=8))
def test_any_mixture_comes_back(values):
    """Whatever a spreadsheet column was filled with."""
    frame = pd.DataFrame({"id": range(len(values)), "x": pd.Series(values, dtype=object)})
    opened = unseal_frame(seal_frame(frame, {"x": "seal"}, **AT), ["x"], **AT)
    back = cells(opened, "x")

    assert back == values
    assert list(map(type, back)) == list(map(type, values))


# --- what is refused


@BOTH
def test_a_sealed_table_is_not_sealed_again(library):
    """A job that runs twice does not lock the customers behind two keys."""
    for text in (None, to_text):
        sealed = seal_frame(made(library), {"email": "seal", "phone": "seal"}, to_text=text, **AT)
        with pytest.raises(AlreadySealed, match="customers.email"):
            seal_frame(sealed, {"email": "seal"}, to_text=text, **AT)
        with pytest.raises(BadPlan, match="sealed already; open it first"):
            seal_frame(sealed, {"email": "pseudonym"}, stand_in=STAND_INS.one_way, **AT)


@BOTH
def test_a_half_sealed_column_is_refused_both_ways(library):
    """Somebody wrote plain values into a sealed file: that is said, and not papered over."""
    sealed = seal_frame(made(library), {"email": "seal"}, to_text=to_text, **AT)
    columns = {name: cells(sealed, name) for name in names(sealed)}
    columns["email"][2] = "ben@example.com"
    half = made(library, columns)

    for call in (
        lambda: seal_frame(half, {"email": "seal"}, **AT),
        lambda: seal_frame(half, {"email": "pseudonym"}, stand_in=STAND_INS.one_way, **AT),
        lambda: unseal_frame(half, ["email"], **AT),
    ):
        with pytest.raises(HalfSealed, match="^email: 1 of 2 cells are sealed .*; take") as caught:
            call()
        assert "ben@" not in shown(caught.value)
        assert "AQ" not in str(caught.value)


@BOTH
def test_tokens_do_not_open_elsewhere(library):
    """Not under another row, column or table, and not if they never were tokens."""
    sealed = seal_frame(made(library), {"email": "seal"}, **AT)
    columns = {name: cells(sealed, name) for name in names(sealed)}
    swapped = made(library, columns | {"email": columns["email"][::-1]})
    moved = made(library, columns | {"phone": columns["email"]})

    with pytest.raises(CannotDecrypt, match="customers.email, cell 1"):
        unseal_frame(swapped, ["email"], **AT)
    with pytest.raises(CannotDecrypt, match="customers.phone"):
        unseal_frame(moved, ["phone"], **AT)
    with pytest.raises(CannotDecrypt, match="suppliers.email"):
        unseal_frame(sealed, ["email"], **AT | {"table": "suppliers"})
    with pytest.raises(BadToken, match="customers.city"):
        unseal_frame(sealed, ["city"], **AT)


@BOTH
@pytest.mark.parametrize(
    ("plan", "more", "says"),
    [
        ({"email": "encrypt"}, {}, "email: a protection is one of: open, seal"),
        ({"fax": "seal"}, {}, "fax: no such column"),
        ({"id": "seal"}, {}, "id: the key column stays open"),
        ({"id": "pseudonym"}, {"stand_in": STAND_INS.one_way}, "id: the key column stays open"),
        ({"email": "pseudonym"}, {}, "email: a pseudonym needs stand_in="),
        ({"email": "seal and index"}, {}, "email: an index needs number="),
        ({"email": "seal"}, {"key_column": "number"}, "number: no such key column"),
        ({"email": "seal"}, {"key_column": "city"}, "city: an id is missing or stands twice"),
        ({"email": "seal"}, {"key_column": "points"}, "points: an id is missing or stands twice"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(library, plan, more, says):
    """A spelling mistake in the inventory leaves no column open by accident."""
    with pytest.raises(BadPlan, match=f"^{says}") as caught:
        seal_frame(made(library), plan, **AT | more)

    assert isinstance(caught.value, FramesError)
    assert not re.search("example.com|Springfield|5550143", shown(caught.value))


@BOTH
def test_a_column_named_like_an_index_is_not_lost(library):
    """Opening drops NAME_index; a column of that name that was there before would go with it."""
    frame = made(library, COLUMNS | {"email_index": ["A", "B", "C"]})
    for protection in ("seal", "seal and index"):
        with pytest.raises(BadPlan, match="^email_index: there already.*; rename it"):
            seal_frame(frame, {"email": protection}, number=number, **AT)
    seal_frame(frame, {"email": "pseudonym"}, stand_in=STAND_INS.one_way, **AT)


def test_opening_what_is_not_there_is_refused():
    """A spelling mistake is said; so is a key column that is missing."""
    sealed = seal_frame(made("arrow"), {"email": "seal"}, **AT)
    with pytest.raises(BadPlan, match="fax: no such column"):
        unseal_frame(sealed, ["fax"], **AT)
    with pytest.raises(BadPlan, match="number: no such key column"):
        unseal_frame(sealed, ["email"], **AT | {"key_column": "number"})


def test_two_columns_of_one_name_are_refused():
    """Which of the two was meant cannot be known."""
    twice = pd.DataFrame([[1, "a", "b"]], columns=["id", "email", "email"])
    with pytest.raises(BadPlan, match="two columns have one name"):
        seal_frame(twice, {"email": "seal"}, **AT)
    with pytest.raises(BadPlan, match="two columns have one name"):
        unseal_frame(pa.Table.from_arrays([pa.array([1])] * 2, ["id", "id"]), ["id"], **AT)


def test_ids_that_print_alike_are_refused():
    """1 and "1" would be one place."""
    frame = made("pandas", {"id": [1, "1"], "email": ["a", "b"]})
    with pytest.raises(BadPlan, match="stands twice"):
        seal_frame(frame, {"email": "seal"}, **AT)


@given(cell=st.one_of(st.text(), st.binary(), st.none(), st.from_regex(r"k1\.A[A-Za-z0-9_-]*=*")))
def test_what_looks_sealed_here_looks_sealed_to_the_cipher(cell):
    """The two files say the same of every cell, although neither imports the other."""
    assert _is_sealed(cell) == looks_sealed(cell)
    if isinstance(cell, str):
        assert _is_sealed(cell.encode()) == looks_sealed(cell.encode())

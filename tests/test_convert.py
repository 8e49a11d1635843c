"""An import may refuse a cell, and must say where. It may never guess at money, time or people."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from kit.convert import ROW, BadShop, BadType, ConvertError, Reject, convert

NEW_YORK = ZoneInfo("America/New_York")
UNHURRIED = settings(deadline=None)  # a busy machine is no failure


def column(kind, *cells, **settings):
    """Convert one column, each cell beside a row number of its own."""
    table = pa.table({ROW: pa.array(range(2, len(cells) + 2)), "t.c": pa.array(cells, pa.string())})
    return convert(table, {"t.c": kind}, **settings)


def values(kind, *cells, **settings):
    """Return the converted cells of a column in which nothing is refused."""
    done = column(kind, *cells, **settings)
    assert done.rejects == []
    return done.table["t.c"].to_pylist()


def reason(kind, *cells, **settings):
    """Return why the last cell was refused, after checking that only it was."""
    done = column(kind, *cells, **settings)
    assert [reject.row for reject in done.rejects] == [len(cells) + 1]
    assert done.rejects[0].column == "t.c"
    return done.rejects[0].reason


# -- money and numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "cents"),
    [
        ("$1,234.56", 123456),
        ("($5.40)", -540),
        ("-$45.00", -4500),
        ("$-45.00", -4500),
        ("$1,149.00 ", 114900),
        ("\u00a0$8.00", 800),
        ("１２.５０", 1250),
        ("£3", 300),
        ("USD 5.40", 540),
        ("5.00 €", 500),
        ("CA$12.00", 1200),
        ("−7.10", -710),
        ("7.10-", -710),
        ("1'234.50", 123450),
        ("'5.00", 500),
        (".5", 50),
        ("0", 0),
    ],
)
def test_money_is_read_as_cents(cell, cents):
    """Every way a till writes an amount comes out as the same whole cents."""
    assert values("money", cell) == [cents]


def test_a_decimal_comma_is_read_where_the_column_shows_it():
    """A German export is not read as a hundred times the sales."""
    assert values("money", "1.234,56", "1.234", "12") == [123456, 123400, 1200]
    assert values("money", "1,234.56", "1,234", "12") == [123456, 123400, 1200]


@pytest.mark.parametrize("cell", ["1,234", "1.234", "-$1,234", "(12.345)", "999.999"])
def test_an_amount_that_fits_two_readings_is_refused(cell):
    """Nobody has to find out later whether 1,234 was a thousand or one and a quarter."""
    assert "fits two amounts" in reason("money", "7", cell)


def test_a_column_of_two_minds_decides_nothing():
    """One wrong cell cannot make a thousand others be read the other way."""
    assert "fits two amounts" in reason("money", "1.50", "2,50", "1,234")


def test_long_decimals_round_half_to_even():
    """Toast writes eight decimals of tax; a cent is not gained by always rounding up."""
    cells = ["0.12500000", "0.13500000", "0.12500001", "-0.12500000"]

    assert values("money", *cells) == [12, 14, 13, -12]


def test_another_currency_is_refused():
    """Five euros are not added to five dollars."""
    assert "another currency" in reason("money", "$5.00", "$6.00", "€7.00")


@UNHURRIED
@given(
    cents=st.lists(st.integers(-(10**14), 10**14), min_size=1, max_size=20),
    signs=st.sampled_from([",.", ".,", "'.", " ,", "’."]),
    shape=st.sampled_from(["{}{}", "{}${}", "{}€ {}", "{}{} kr"]),
    brackets=st.booleans(),
)
def test_money_written_in_any_style_is_read_back(cents, signs, shape, brackets):
    """Whatever style a vendor picks, the sum of the file is the sum of the shop."""
    group, point = signs
    cells = []
    for amount in cents:
        whole = f"{abs(amount) // 100:,}".replace(",", group)
        text = f"{whole}{point}{abs(amount) % 100:02}"
        if brackets and amount < 0:
            cells.append("(" + shape.format("", text) + ")")
        else:
            cells.append(shape.format("-" if amount < 0 else "", text))

    assert values("money", *cells) == cents


@UNHURRIED
@given(st.lists(st.decimals(-(10**9), 10**9, places=8), min_size=1))
def test_money_rounds_like_an_accountant(amounts):
    """The vectorised rounding is the decimal module's."""
    cents = [int((a * 100).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)) for a in amounts]

    assert values("money", *(f"{a:.8f}" for a in amounts)) == cents


@UNHURRIED
@given(st.text("0123456789.,'() -+$€", max_size=12))
@example("1,23,456")
@example("1.234.56")
def test_money_never_guesses(text):
    """What is read at all has one reading only: digits in threes, one decimal sign, in order."""
    done = column("money", text)
    if not done.rejects and done.table["t.c"][0].as_py() is not None:
        digits = "".join(filter(str.isdigit, text)).lstrip("0")
        fraction = len(text.rstrip(") -€$")) - 1 - max(map(text.rfind, ".,"))
        exact = Decimal(digits or "0") / (10**fraction if max(map(text.rfind, ".,")) >= 0 else 1)
        readings = {abs(exact), Decimal(digits or "0")}
        assert any(
            abs(done.table["t.c"][0].as_py())
            == int((r * 100).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
            for r in readings
        )


def test_numbers_are_whole_unless_one_is_not():
    """A quantity of 1.0 is one piece; half a pound is not lost."""
    assert values("number", "1.0", "2.0", "1,200.0") == [1, 2, 1200]
    assert column("number", "1.0").table["t.c"].type == pa.int64()
    assert values("number", "1.0", "0.5") == [Decimal(1), Decimal("0.5")]


# -- ids and text --------------------------------------------------------------------------------


def test_ids_keep_every_character():
    """Postcode 01930 stays in Gloucester, and a 19-digit id keeps its last digit."""
    cells = ["01930", "1300000015734303122", "'2026", '="6585954"', "AB-0012", " 007 "]

    assert values("id", *cells) == [
        "01930", "1300000015734303122", "2026", "6585954", "AB-0012", "007",
    ]  # fmt: skip


@pytest.mark.parametrize("cell", ["4.24E+15", "1,3e+18", "9E+11"])
def test_an_id_cut_by_a_spreadsheet_is_refused(cell):
    """The lost digits cannot be had back; the file must be exported again."""
    assert "cut off digits" in reason("id", "77", cell)


def test_text_loses_what_nobody_can_see():
    """Two spellings of one name are one name; guards against formulas are not part of it."""
    cells = ["  cafe\u0301", "A\u00a0B\u200b", "'=1+1", "'+1 x", "'90s music", "a\nb", "Null"]

    assert values("text", *cells) == ["café", "A B", "=1+1", "+1 x", "'90s music", "a\nb", "Null"]


def test_an_emoji_family_stays_together():
    """A joiner that holds a sign together is not litter."""
    assert values("text", "👩\u200d👧") == ["👩\u200d👧"]


@pytest.mark.parametrize("kind", ["text", "id", "money", "number", "date", "time", "datetime"])
def test_blanks_are_null(kind):
    """An empty cell is not zero, not 1970 and not a customer called None."""
    assert values(kind, "", None, "N/A", "-", "NULL", "None", " ") == [None] * 7


@UNHURRIED
@given(st.lists(st.text(), max_size=5))
def test_text_is_never_refused(cells):
    """A note may hold anything."""
    assert column("text", *cells).table.num_rows == len(cells)


# -- dates and times -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2026-07-18 12:59:30", "2026-07-18T16:59:30"),
        ("2026-07-18T12:59:30.5", "2026-07-18T16:59:30.500000"),
        ("2026-07-18T12:59:30Z", "2026-07-18T12:59:30"),
        ("2026-07-18 12:59 UTC", "2026-07-18T12:59:00"),
        ("2024-05-01 09:58:12 -0400", "2024-05-01T13:58:12"),
        ("2024-05-01T09:58:12+05:30", "2024-05-01T04:28:12"),
        ("10/25/2026 2:30:00 PM", "2026-10-25T18:30:00"),
        ("12/25/26 12:18 AM", "2026-12-25T05:18:00"),
        ("16-Dec-2023 02:44 AM EST", "2023-12-16T07:44:00"),
        ("Jul 16, 2023 2:44 pm EDT", "2023-07-16T18:44:00"),
        ("2026-07-18 12:59:30 Eastern Time (US & Canada)", "2026-07-18T16:59:30"),
        ("2026-07-18 12:59:30 Pacific Time (US & Canada)", "2026-07-18T19:59:30"),
        ("2026-07-18 12:59:30 Tokyo", "2026-07-18T03:59:30"),
        ("2026-07-18 12:59:30 Europe/Berlin", "2026-07-18T10:59:30"),
        ("31.12.2026 23:59", "2027-01-01T04:59:00"),
    ],
)
def test_moments_come_out_in_utc(cell, expected):
    """A sale late on Saturday is not filed under Sunday because two tills wrote it differently."""
    assert values("datetime", cell) == [datetime.fromisoformat(expected).replace(tzinfo=UTC)]


def test_the_column_shows_the_order_of_day_and_month():
    """One 25th decides for all the others."""
    assert values("date", "3/4/2026", "25/4/2026")[0] == date(2026, 4, 3)
    assert values("date", "3/4/2026", "4/25/2026")[0] == date(2026, 3, 4)
    assert values("date", "3/4/2026", day_first=True) == [date(2026, 4, 3)]
    assert values("date", "4/4/2026", "5.6.2026") == [date(2026, 4, 4), date(2026, 6, 5)]


@pytest.mark.parametrize(
    ("kind", "cells", "why"),
    [
        pytest.param("date", ["3/4/2026"], "fits two dates", id="nothing shows the order"),
        pytest.param("date", ["25/1/2026", "1/25/2026", "3/4/2026"], "fits two", id="two orders"),
        pytest.param("date", ["30/2/2026"], "no such day", id="30 February"),
        pytest.param("date", ["29-Feb-2023"], "no such day", id="no leap year"),
        pytest.param("date", ["13-Foo-2023"], "no such day", id="no month"),
        pytest.param("date", ["0206-01-01"], "correct the year", id="slip of the year"),
        pytest.param("date", ["25/12/45"], "two centuries", id="two-digit birthday"),
        pytest.param("date", ["2026-01-05 10:00"], "time of day", id="not only a date"),
        pytest.param("date", ["soon"], "not a date", id="no date"),
        pytest.param("datetime", ["2026-01-05"], "without a time", id="only a date"),
        pytest.param("datetime", ["2026-01-05 25:00"], "no such time", id="25 hours"),
        pytest.param("datetime", ["2026-01-05 14:00 PM"], "no such time", id="14 PM"),
        pytest.param(
            "datetime", ["2026-11-01 01:30"], "repeat this hour", id="the hour comes twice"
        ),
        pytest.param("datetime", ["2026-03-08 02:30"], "skip this hour", id="the hour never comes"),
        pytest.param(
            "datetime", ["2026-07-01 10:00 EST"], "no such abbreviation", id="EST in July"
        ),
        pytest.param("datetime", ["2026-07-01 10:00 IST"], "no such abbreviation", id="far away"),
        pytest.param("datetime", ["2026-07-01 10:00 Mars"], "unknown name", id="no zone"),
        pytest.param("time", ["10:61"], "no such time", id="61 minutes"),
        pytest.param("number", ["$5"], "amount of money", id="money as a number"),
        pytest.param("number", ["4.24E+15"], "not a number", id="cut by a spreadsheet"),
        pytest.param("number", ["5²"], "not a number", id="five squared is not 52"),
        pytest.param("money", ["(5.00"], "brackets", id="open bracket"),
        pytest.param("money", ["(-5.00)"], "brackets", id="twice negative"),
        pytest.param("money", ["1,23,456.00"], "not an amount", id="groups of two"),
        pytest.param("money", ["free"], "not an amount", id="a word"),
        pytest.param("money", ["9" * 20], "too many digits", id="twenty digits"),
        pytest.param("bool", ["maybe"], "neither", id="maybe"),
    ],
)
def test_refuses(kind, cells, why):
    """Each refusal has its reason, empties the whole row, and never repeats the cell."""
    done = column(kind, *cells)

    assert why in done.rejects[-1].reason
    assert done.rejects[-1].row == len(cells) + 1
    assert done.rows_out == len({reject.row for reject in done.rejects})
    assert done.table.num_rows == len(cells) - done.rows_out
    assert all(cells[-1] not in reject.reason for reject in done.rejects)


def test_an_abbreviation_tells_the_repeated_hour_apart():
    """The two half past ones of an autumn night stay two sales an hour apart."""
    early, late = values("datetime", "2026-11-01 01:30 EDT", "2026-11-01 01:30 EST")

    assert late - early == timedelta(hours=1)


ZONES = [
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/Sao_Paulo",
]
MOMENTS = st.datetimes(datetime(1973, 1, 2), datetime(2099, 12, 30))  # noqa: DTZ001


@UNHURRIED
@given(
    moments=st.lists(MOMENTS, min_size=1, max_size=20),
    zone=st.sampled_from(ZONES),
    style=st.sampled_from(
        ["%Y-%m-%dT%H:%M:%S.%f", "%m/%d/%Y %I:%M:%S.%f %p", "%d-%b-%Y %H:%M:%S.%f"]
    ),
)
def test_any_moment_is_read_as_the_zone_rules_say(moments, zone, style):
    """Every local time is one moment, or refused because it is none or two: as zoneinfo has it."""
    done = column(
        "datetime", *(at.strftime(style) for at in moments), "", time_zone=zone, day_first=False
    )
    rejected = {reject.row for reject in done.rejects}
    read = iter(done.table["t.c"].to_pylist())

    for row, at in enumerate(moments, start=2):
        fits = {
            there.astimezone(UTC)
            for there in (at.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
            if there.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == at
        }
        assert (row in rejected) == (len(fits) != 1)
        if row not in rejected:
            assert {next(read)} == fits


@UNHURRIED
@given(st.lists(st.datetimes(datetime(1973, 1, 2), datetime(2099, 12, 30), timezones=st.just(UTC))))  # noqa: DTZ001
def test_a_written_offset_always_decides(moments):
    """With an offset in the cell no hour is in doubt."""
    cells = [at.astimezone(NEW_YORK).strftime("%Y-%m-%d %H:%M:%S.%f %z") for at in moments]

    assert values("datetime", *cells) == moments


@UNHURRIED
@given(st.lists(st.dates(date(1900, 1, 1), date(2099, 12, 31)), min_size=1), st.booleans())
def test_dates_in_either_order_are_read_back(days, day_first):
    """A birthday survives the trip in both countries."""
    cells = [day.strftime("%d/%m/%Y" if day_first else "%m/%d/%Y") for day in days]

    assert values("date", *cells, day_first=day_first) == days


def test_times_of_day():
    """Opening hours have no date."""
    assert values("time", "12:59:30", "2:30 PM", "12:00 am") == [
        time(12, 59, 30),
        time(14, 30),
        time(),
    ]


# -- people --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("(212) 555-0123", "+12125550123"),
        ("'+12125550123", "+12125550123"),
        ("1-212-555-0123", "+12125550123"),
        ("212.555.0123 x55", "+12125550123;ext=55"),
        ("+44 1632 960001", "+441632960001"),
        ("０１１ 44 1632 960001", "+441632960001"),
    ],
)
def test_phones_have_one_spelling(cell, number):
    """One customer is not called twice because her number was typed twice."""
    assert values("phone", cell) == [number]


@pytest.mark.parametrize(
    "cell",
    [
        "555-0123",
        "12",
        "4242 4242 4242 4242",
        "2125550123@example.com",
        "call after 5pm 2125550123",
    ],
)
def test_a_bad_phone_empties_its_cell_and_keeps_the_row(cell):
    """A sale is not lost over a telephone number, and a card number never becomes one."""
    done = column("phone", cell)

    assert done.table["t.c"].to_pylist() == [None]
    assert [reject.row for reject in done.rejects] == [2]
    assert done.rows_out == 0


@UNHURRIED
@given(
    area=st.integers(200, 999),
    line=st.integers(0, 199),
    shape=st.sampled_from(
        ["({}) {}-{}", "{}-{}-{}", "{}.{}.{}", "+1{}{}{}", "1 {} {} {}", "{}{}{}"]
    ),
)
def test_phones_are_read_as_the_phonenumbers_package_reads_them(area, line, shape):
    """The short cut for ten digits gives what the full parser gives."""
    text = shape.format(area, 555, f"{line:04}")
    parsed = phonenumbers.parse(text, "US")
    assume(phonenumbers.is_possible_number(parsed))

    assert values("phone", text) == [phonenumbers.format_number(parsed, 0)]


def test_ten_digits_are_not_american_everywhere():
    """A shop in Paris does not get customers in New York."""
    assert values("phone", "(212) 555-0123", region="US") == ["+12125550123"]
    assert column("phone", "212 555 0123", region="FR").rejects
    assert values("phone", "+1 212 555 0123", region="FR") == ["+12125550123"]


def test_addresses_are_freed_of_their_wrapping():
    """What came from a mail program is still one address."""
    cells = [
        "mailto:A@EXAMPLE.com",
        "Ana Ex <ana@example.com>",
        "a\u200bb@example.com\u00a0",
        "josé@example.com",
    ]

    assert values("email", *cells) == [
        "A@example.com", "ana@example.com", "ab@example.com", "josé@example.com",
    ]  # fmt: skip


@pytest.mark.parametrize("cell", ["nope", "a@b@example.com", "a..b@example.com", "a@localhost"])
def test_a_bad_address_empties_its_cell_and_keeps_the_row(cell):
    """A receipt is not sent to a stranger because a typo was mended."""
    done = column("email", cell)

    assert done.table["t.c"].to_pylist() == [None]
    assert len(done.rejects) == 1


def test_consent_is_what_was_said():
    """Silence is not a yes."""
    cells = ["yes", "no", "TRUE", "Unsubscribed", "subscribed", "", "unknown", "opted out"]

    assert values("consent", *cells) == [True, False, True, False, True, None, None, False]
    assert column("consent", "perhaps").table["t.c"].to_pylist() == [None]


# -- the table -----------------------------------------------------------------------------------


def test_every_refused_row_is_named_by_its_number_in_the_file():
    """The owner finds the cell in her spreadsheet."""
    table = pa.table({
        ROW: pa.array([7, 9, 12]),
        "sales.total_cents": ["1.00", "x", "3.00"],
        "sales.sale_id": ["a", "b", "4.24E+15"],
        "customers.phone": ["12", "2125550123", ""],
    })  # fmt: skip
    types = {"sales.total_cents": "money", "sales.sale_id": "id", "customers.phone": "phone"}

    done = convert(table, types)

    assert done.rejects == [
        Reject(7, "customers.phone", "not a possible phone number; correct the cell"),
        Reject(9, "sales.total_cents", "not an amount of money; correct the cell"),
        Reject(
            12,
            "sales.sale_id",
            "a spreadsheet has cut off digits; export the file again, unopened",
        ),
    ]
    assert done.table.to_pylist() == [
        {ROW: 7, "sales.total_cents": 100, "sales.sale_id": "a", "customers.phone": None}
    ]
    assert done.rows_out == 2


def test_an_empty_file_has_types_too():
    """An export of a day without sales is no error."""
    kinds = ["text", "id", "money", "number", "date", "time", "datetime", "bool", "consent"]
    kinds += ["phone", "email"]
    table = pa.table({f"t.{kind}": pa.array([], pa.string()) for kind in kinds})

    done = convert(table, {f"t.{kind}": kind for kind in kinds})

    assert done.table.num_rows == 0
    assert done.table.schema.field("t.datetime").type == pa.timestamp("us", "UTC")
    assert done.table.schema.field("t.money").type == pa.int64()


@pytest.mark.parametrize(
    ("kind", "settings", "error"),
    [
        pytest.param("mony", {}, BadType, id="unknown type"),
        pytest.param("text", {"time_zone": "Mars/Olympus"}, BadShop, id="unknown zone"),
        pytest.param("text", {"region": "XX"}, BadShop, id="unknown country"),
    ],
)
def test_refuses_settings(kind, settings, error):
    """A wrong setting stops the import before a single cell is read."""
    with pytest.raises(error) as caught:
        column(kind, "secret", **settings)

    assert isinstance(caught.value, ConvertError)
    assert "secret" not in str(caught.value)

"""Write sample_data/ anew; ``--check`` only says whether it is what would be written.

Usage: ``python tests/make_sample_data.py [--check]``. Everything comes from the generator and one
seed; the three cells and one column planted in ``found/`` stand below.
"""

from __future__ import annotations

import csv
import io
import sys
import tempfile
from pathlib import Path

import pyarrow.compute as pc

from kit import dirty, practice

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "sample_data"
SEED = 42
CUSTOMERS = 100
TILL_CUSTOMERS = 30
FOUND = "found/customers_export.csv"
PLANTED = {  # row number in the file: what tired people type; published test numbers
    9: "card 4242 4242 4242 4242 exp 12/27 cvv 123, ring when ready",
    23: "pays with 5555-5555-5555-4444",
    61: "Amex 3782 822463 10005",
}
ALLERGIES = {7: "lilies", 30: "nuts in chocolates", 54: "lilies"}  # a column nobody wrote down

README = """\
# Sample data

Nobody here is real: telephone numbers set aside for fiction, example.com addresses, card
numbers that payment companies publish for tests. Made by `python tests/make_sample_data.py` from
one seed; a test makes it again and compares every byte, so do not edit it by hand.

- `clean/`: a shop with 100 customers, one CSV per table.
- `dirty/`: its customers as tired people keep them; `truth.csv` says what was changed where.
- `tills/`: a smaller shop, as the tills of each vendor export it.
- `inventory.toml`: what the shop has written down: the inventory to start from.
- `found/`: an export that lay on a laptop, with card numbers in the notes and a column that nobody
  wrote down.
"""


def make(folder: Path) -> None:
    """Write everything below *folder*."""
    practice.make_shop(folder / "clean", CUSTOMERS, seed=SEED)
    made = practice.made_up(CUSTOMERS, seed=SEED)
    twin = dirty.dirty({name: made.table(name) for name in made.tables}, seed=SEED)
    changed = twin.truth.filter(pc.field("table") == "customers")
    dirty.Dirty({"customers": twin.tables["customers"]}, changed).write(folder / "dirty")
    vendors = sorted({path.stem for path in (ROOT / "kit/tills").glob("*.toml")})
    for vendor in vendors:
        try:
            practice.make_shop(folder / "tills", TILL_CUSTOMERS, seed=SEED, till=vendor)
        except files.FilesError:  # a processor's report, which the made-up shop does not have
            continue
    practice.make_shop(folder / "found", CUSTOMERS, seed=SEED, till="square.customers")
    plant(folder / "found/square_customers.csv", folder / FOUND)
    (folder / "inventory.toml").write_bytes((ROOT / "kit/inventory.toml").read_bytes())
    (folder / "README.md").write_text(README, encoding="utf-8", newline="\n")


def plant(source: Path, target: Path) -> None:
    """Copy an export and put card numbers into its notes and a column behind its last one."""
    with source.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    for number, note in PLANTED.items():
        rows[number - 2][header.index("Memo")] = note
    for number, row in enumerate(rows, 2):
        row.append(ALLERGIES.get(number, ""))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([[*header, "Allergies"], *rows])
    target.write_text(text.getvalue(), encoding="utf-8", newline="\n")
    source.unlink()


def files(folder: Path) -> dict[str, bytes]:
    """Return every file below *folder* by its relative name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def differences(made: dict[str, bytes], kept: dict[str, bytes]) -> list[str]:
    """Return one line per file that differs, with why it may."""
    import faker

    why = f"Faker here is {faker.VERSION}; values are promised for the locked version only"
    lines = [f"{name}: missing" for name in sorted(made.keys() - kept.keys())]
    lines += [f"{name}: not made any more" for name in sorted(kept.keys() - made.keys())]
    both = sorted(made.keys() & kept.keys())
    return lines + [f"{name}: differs; {why}" for name in both if made[name] != kept[name]]


def main(arguments: list[str]) -> None:
    """Write or check."""
    with tempfile.TemporaryDirectory() as temporary:
        make(Path(temporary))
        made = files(Path(temporary))
    if "--check" in arguments:
        if lines := differences(made, files(SAMPLE)):
            sys.exit("\n".join(lines))
        return
    for name in files(SAMPLE).keys() - made.keys():
        (SAMPLE / name).unlink()
    for name, data in made.items():
        (SAMPLE / name).parent.mkdir(parents=True, exist_ok=True)
        (SAMPLE / name).write_bytes(data)
    print(f"wrote {len(made)} files, {sum(map(len, made.values())) / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])

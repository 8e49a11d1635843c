# SPDX-License-Identifier: MIT-0
"""The command line: one verb per task, the same words as the lessons.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 found something that needs action.
Answers go to standard output, progress and warnings to standard error, so that `--json` can be
piped. Tools are imported inside their command: `kit --help` loads neither pandas nor Arrow.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from kit import cli_backup, cli_breach, cli_keys, cli_law, cli_request, cli_shop
from kit.terminal import FOUND, Json, ShopFolder, answer, now, progress, say

if TYPE_CHECKING:
    from kit.inventory import Inventory

LESSONS = Path("my-lessons")
LAYOUT_SHOWN = ("id", "title", "status", "source", "seen")

app = typer.Typer(
    name="kit",
    help="Handle a shop's customer data safely. Start with `kit tour` or `kit lab`.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: quicker to start, and [x] in a text stays [x]
    pretty_exceptions_enable=False,  # they print local variables, which hold customers and keys
    pretty_exceptions_show_locals=False,
)

app.add_typer(cli_keys.app)
app.command()(cli_keys.seal)
app.command()(cli_keys.unseal)
app.add_typer(cli_shop.app)
app.add_typer(cli_backup.app)
app.add_typer(cli_law.app)
app.add_typer(cli_request.app)
app.add_typer(cli_breach.app)
for command in (
    cli_shop.init,
    cli_shop.find,
    cli_shop.who,
    cli_shop.delete,
    cli_shop.undelete,
    cli_shop.erase,
    cli_shop.expire,
):
    app.command()(command)

InventoryFile = Annotated[
    Path | None,
    typer.Option("--inventory", help="Your inventory.toml; else the one to start from."),
]


def main() -> NoReturn:
    """Run a command; an expected error is one plain line, never a traceback."""
    try:
        app()
    except BrokenPipeError:  # `kit … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        sys.exit(_explain(error))
    sys.exit(0)


def _explain(error: Exception) -> str:
    """Return one line for *error*; what is not ours may hold customer data, so it is not shown."""
    if type(error).__module__.partition(".")[0] == "kit":
        return f"kit: {error}"
    if isinstance(error, OSError):
        what = error.strerror or type(error).__name__
        name = Path(str(error.filename)).name if error.filename else "a file"
        return f"kit: {name}: {what}; check the place, its free space and your rights there"
    if os.environ.get("KIT_DEBUG"):
        raise error
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else "?"
    return (
        f"kit: a fault of the kit itself ({type(error).__name__} at {where}); nothing is shown, as "
        "it may hold customer data. Set KIT_DEBUG=1 to see it, and please report it"
    )


def load_inventory(path: Path | None) -> Inventory:
    """Return the inventory named, or the default one."""
    from kit.inventory import Inventory

    return Inventory.load(path) if path else Inventory.default()


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not one of *allowed* as wrong usage."""
    if value not in allowed:
        raise typer.BadParameter(f"must be one of: {', '.join(allowed)}", param_hint=name)


@app.command()
def copy(
    modules: Annotated[list[str] | None, typer.Argument(help="Tools to copy, by name.")] = None,
    into: Annotated[Path | None, typer.Option(help="Folder to copy into.")] = None,
) -> None:
    """Lift a tool out of the kit, with its data; without a name, list the tools.

    Example: kit copy inventory scan --into myapp
    """
    from kit import copying

    known = copying.tools()
    if not modules or into is None:
        for name, tool in known.items():
            say(f"{name:<12} {tool.gain}")
            say(f"{'':<12} needs: {', '.join(tool.packages) or 'nothing but Python'}")
        if modules:
            raise typer.BadParameter("say where to: --into DIR", param_hint="--into")
        return
    for path in copying.copy_out(modules, into):
        say(f"copied {path}")
    packages = sorted({package for name in modules for package in known[name].packages})
    say(
        "install: "
        + (f"pip install {' '.join(packages)}" if packages else "nothing more is needed")
    )


@app.command(name="generate")
def generate_(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; made if it is not there.")],
    customers: Annotated[int, typer.Option(min=1, help="How many; sales follow from it.")] = 1_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same shop.")] = 42,
    format: Annotated[str, typer.Option(help="csv, parquet, sqlite or xlsx.")] = "csv",  # noqa: A002
    as_: Annotated[
        str | None, typer.Option("--as", help="Write it as a till would: square, shopify …")
    ] = None,
    dirty: Annotated[int, typer.Option(min=0, max=3, help="How untidy: 0 to 3.")] = 0,
    locale: Annotated[str, typer.Option(help="Faker locale: en_US, de_DE, ja_JP …")] = "en_US",
    lines: Annotated[
        int | None, typer.Option(min=1, help="Only sale lines, this many, streamed to Parquet.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace files of the same name.")] = False,
    as_json: Json = False,
) -> None:
    """Make up a shop: customers, sales, payments, staff, stock.

    Example: kit generate practice --customers 500 --format xlsx
    """
    from kit import practice, show

    _one_of("--format", format, practice.FORMATS)
    if dirty and as_:
        raise typer.BadParameter("choose --dirty or --as, not both", param_hint="--as")
    if as_ and format != "csv":
        raise typer.BadParameter("a till writes CSV; leave it out with --as", param_hint="--format")
    if lines and (dirty or as_ or format not in ("csv", "parquet")):
        raise typer.BadParameter("writes tidy lines to Parquet only", param_hint="--lines")
    with progress(f"making up {lines:,} lines" if lines else "making up a shop") as tick:
        if lines:
            written = [
                practice.stream_lines(folder, lines, seed=seed, locale=locale, progress=tick)
            ]
        else:
            written = practice.make_shop(
                folder,
                customers,
                seed=seed,
                locale=locale,
                format=format,
                dirt=dirty,
                till=as_,
                overwrite=overwrite,
                progress=tick,
            )
    if as_json:
        return answer({"files": [str(path) for path in written]})
    for path in written:
        say(f"{path}  {show.size(path.stat().st_size)}")


@app.command()
def scan(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    inventory: InventoryFile = None,
    region: Annotated[str, typer.Option(help="Your country, for phone numbers.")] = "US",
    everything: Annotated[
        bool, typer.Option("--all", help="Show what was ruled out, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look for personal and card data; nothing found is shown in full.

    Exit code 3 means card data: act today. Example: kit scan exports/ --all
    """
    from kit import files

    for path in paths:
        if not path.exists():
            raise typer.BadParameter(f"{path} is not there", param_hint="paths")
    with progress("looking") as tick:
        report = files.scan_files(
            paths, inventory=load_inventory(inventory), region=region, progress=tick
        )
    if as_json:
        answer(
            {
                "card_data": report.card_data,
                "looked_at": report.looked_at,
                "findings": [vars(finding) for finding in report.findings],
                "not_in_inventory": [vars(column) for column in report.unwritten],
                "not_looked_into": [vars(skip) for skip in report.skipped],
            }
        )
    else:
        from kit import show

        say(show.scan(report, everything=everything))
    if report.card_data:
        raise typer.Exit(FOUND)
    if report.skipped and not report.looked_at:
        raise typer.Exit(1)  # or a script would take what was not read for clean


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="A till's export, as the till wrote it.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the typed rows; without it, only a report.")
    ] = None,
    format: Annotated[str, typer.Option(help="csv, parquet, sqlite or xlsx.")] = "csv",  # noqa: A002
    time_zone: Annotated[
        str | None, typer.Option(help="The shop's zone, e.g. America/New_York.")
    ] = None,
    region: Annotated[str, typer.Option(help="The shop's country, for phone numbers.")] = "US",
    day_first: Annotated[
        bool | None, typer.Option("--day-first/--month-first", help="31/12 or 12/31.")
    ] = None,
    layout: Annotated[str | None, typer.Option(help="Say which layout it is: kit tills.")] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="Your header=the vendor's, for labels in another language."),
    ] = None,
    inventory: InventoryFile = None,
    overwrite: Annotated[bool, typer.Option(help="Replace files of the same name.")] = False,
    actor: cli_shop.Actor = None,
    shop: ShopFolder = Path(),
    as_json: Json = False,
) -> None:
    """Take a till's export into the shop; outside a shop's folder, only read it and report.

    Exit code 3 means rows set aside or totals that do not agree. Example: kit import items.csv
    """
    from kit import files, practice, show

    _one_of("--format", format, practice.FORMATS)
    pairs = [pair.partition("=") for pair in header or []]
    if not all(ours and theirs for ours, _, theirs in pairs):
        raise typer.BadParameter("write it as YOURS=THEIRS", param_hint="--header")
    if out is None and (shop / "shop.toml").exists():
        cli_shop.take_in(
            file,
            shop,
            actor,
            as_json=as_json,
            day_first=day_first,
            layout=layout,
            confirmed={ours: theirs for ours, _, theirs in pairs},
        )
        return
    with progress("reading"):
        report = files.read_export(
            file,
            inventory=load_inventory(inventory),
            time_zone=time_zone,
            region=region,
            day_first=day_first,
            layout=layout,
            confirmed={ours: theirs for ours, _, theirs in pairs},
        )
        written = files.write_rows(report, out, format=format, overwrite=overwrite) if out else []
    if as_json:
        answer(
            {
                "layout": report.layout.id,
                "status": report.layout.status,
                "rows": report.rows,
                "taken": report.table.num_rows,
                "rejects": [vars(reject) for reject in report.rejects],
                "never_loaded": dict(report.dropped),
                "not_in_inventory": report.gaps,
                "unmapped": report.unmapped,
                "checks": [{**vars(check), "ok": check.ok} for check in report.checks],
                "files": [str(path) for path in written],
            }
        )
    else:
        say(show.imported(report))
        for path in written:
            say(f"wrote {path}: it holds customer data in the clear; delete it when you are done")
    if report.rejects or not all(check.ok for check in report.checks):
        raise typer.Exit(FOUND)


@app.command()
def tills(as_json: Json = False) -> None:
    """List the till exports that can be read, and how well each layout is verified."""
    from kit import pos

    known = pos.layouts()
    if as_json:
        return answer([{k: getattr(y, k) for k in LAYOUT_SHOWN} for y in known])
    for layout in known:
        say(f"{layout.id:<30} {layout.status:<11} {layout.seen:<8} {layout.title}")


@app.command()
def lab(
    folder: Annotated[Path, typer.Argument(help="Your folder; made if it is not there.")] = LESSONS,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    port: Annotated[int | None, typer.Option(help="Else 8888 or the next free one.")] = None,
) -> None:
    """Open the lessons in JupyterLab, in a copy of your own that is never overwritten.

    Example: kit lab my-lessons
    """
    from kit import lab, workspace

    laid = workspace.lay_out(folder)
    for name in laid.kept:
        say(f"kept as you left it, although the kit has a newer one: {name}")
    lab.serve(folder, open_browser=browser, port=port, say=say)


@app.command()
def reset(
    lesson: Annotated[str, typer.Argument(help="Such as 00 or 00_take_stock.")],
    folder: Annotated[Path, typer.Option(help="Your folder of lessons.")] = LESSONS,
) -> None:
    """Start a lesson again; what you wrote is moved to my-work first, never lost.

    Example: kit reset 00
    """
    from kit import workspace

    for fresh in workspace.reset(folder, lesson, now=now()):
        say(f"fresh: {fresh.path}" + (f"; yours is now {fresh.aside}" if fresh.aside else ""))


@app.command()
def doctor(
    folder: Annotated[Path, typer.Argument(help="Your folder of lessons.")] = LESSONS,
    as_json: Json = False,
) -> None:
    """Say whether this computer is ready for the lessons, and what to do if not."""
    from kit import doctor

    checks = doctor.check(folder, now=now())
    if as_json:
        answer([vars(check) for check in checks])
    else:
        say(doctor.report(checks))
    if not doctor.ready(checks):
        raise typer.Exit(1)


@app.command()
def tour(
    folder: Annotated[
        Path | None, typer.Argument(help="Keep the made-up shop here; else it is thrown away.")
    ] = None,
) -> None:
    """Walk through the whole life of customer data on a made-up shop, in a minute."""
    from kit import tour

    tour.walk(folder, say=say, progress=progress)

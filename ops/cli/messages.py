"""`layshaft messages`: what came in, taken out of the log for other uses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from msgspec.structs import replace

from broker.reading import Reader
from broker.store import Database
from broker.store.selections import Selection
from broker.unit import SqlStorage
from handlers import CATALOGUE
from ops.cli.output import Column, moment, plural, put_json, screen, talk
from ops.cli.problems import Exit, Problem
from ops.cli.replay import Selecting
from ops.cli.replay_pages import selection_words
from ops.cli.session import Reading, configuration, on_database
from ops.export import Exporter
from ops.export_folder import ABOUT, Export
from ops.sources import recogniser
from ops.tables import catalogue_of

app = App(name="messages", help="Take messages of the log to other places.")

_WARNING = "NOT MASKED: these files hold personal data and prices as they came."


@app.command(name="export")
def export_messages(
    *,
    out: Path,
    limit: int = 100,
    masked: Annotated[bool, Parameter(negative="--as-they-are")] = True,
    mask_numbers: bool = False,
    selecting: Selecting = Selecting(),  # noqa: B008 - frozen
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> int:
    """Write what sources sent as files of a test corpus, without names, addresses and prices.

    Exit code 0: all of them; 1: some could not be exported, which is said of each.

    Parameters
    ----------
    out
        Folder to make; one with something in it is refused.
    limit
        So many messages at most, the oldest first.
    masked
        Replace what is personal or a price, the same value by the same (the default), or write all
        as it came.
    mask_numbers
        Replace numbers of items, documents and partners too.
    """
    _refuse_nonsense(limit, masked, mask_numbers)
    selection = selecting.selection()
    done = _export(reading, selection, out, limit, masked, mask_numbers)
    if reading.is_json:
        put_json(done)
    else:
        _print(done)
    if done.files and not done.masked:
        talk(_WARNING)
    if done.has_more:
        talk(f"There are more than {limit}; see --limit.")
    return Exit.FINDINGS if done.not_exported else Exit.DONE


def _refuse_nonsense(limit: int, masked: bool, mask_numbers: bool) -> None:
    if mask_numbers and not masked:
        raise Problem(
            Exit.USAGE,
            "masking-contradictory",
            "Numbers cannot be masked in files that are written as they are",
            why="--mask-numbers and --as-they-are were both given",
            fix="Leave one of them out",
        )
    if limit < 1:
        raise Problem(
            Exit.USAGE,
            "limit-not-positive",
            f"At most {limit} messages are none",
            why="the limit must be above 0",
            fix="Give --limit 100, or leave it out",
        )


def _export(
    reading: Reading,
    selection: Selection,
    out: Path,
    limit: int,
    masked: bool,
    mask_numbers: bool,
) -> Export:
    chosen = configuration(reading)
    catalogue = catalogue_of(chosen, CATALOGUE)
    recognise = recogniser(chosen.settings, catalogue)

    async def work(database: Database) -> Export:
        reader = Reader(
            storage=SqlStorage(database),
            recognise=recognise,
            handler_named=catalogue.handler_named,
            read_s=chosen.settings.deadlines.read_s,
        )
        exporter = Exporter(
            database,
            reader=reader,
            recognise=recognise,
            configuration=chosen,
            masked=masked,
            with_numbers=mask_numbers,
        )
        selected = _selected(selection, mask_numbers)
        return await exporter.export(selection, out, at_most=limit, selected=selected)

    return on_database(reading, work)


def _selected(selection: Selection, mask_numbers: bool) -> str:
    """The selection for those who get the files."""
    if not (mask_numbers and (selection.keys or selection.correlation_id)):
        return selection_words(selection)
    shown = replace(selection, keys=(), correlation_id="")
    return ", ".join(filter(None, (selection_words(shown), "some business keys or a story")))


def _print(done: Export) -> None:
    page = screen()
    page.line(
        f"{plural(len(done.files), 'message')} exported"
        + (f" to {done.folder}, {'masked' if done.masked else 'as they are'}" if done.files else "")
    )
    if done.own:
        page.line(f"{plural(done.own, 'event')} of Layshaft's own left out")
    if done.files:
        page.line()
        page.table(
            [Column("file"), Column("type"), Column("logged (UTC)")],
            [(f.file, f.type, moment(f.logged_at)) for f in done.files],
        )
        page.line()
        page.line(f"Read {done.folder}/{ABOUT} before you give it away.")
    if done.not_exported:
        page.line()
        page.line("Not exported", style="bold")
        page.table(
            [Column("logged (UTC)"), Column("source"), Column("type"), Column("why", is_text=True)],
            [(moment(m.logged_at), m.source, m.type, m.why) for m in done.not_exported],
        )

"""`layshaft idoc`: what is known as IDocs, for an SAP system or a partner that takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cyclopts import App

from broker.store import Tx
from broker.store import documents as rows
from canonical.facts import Document
from handlers.systems.idoc.outbound import FORMS, Form, write
from handlers.systems.idoc.writing import Parties
from ops.cli.files import refuse_existing, write_whole
from ops.cli.idoc_audit import audit_idocs
from ops.cli.output import plural, put_json, screen
from ops.cli.problems import Exit, Problem
from ops.cli.session import Reading, read

app = App(name="idoc", help="Write what is known as IDocs, and what became of those that came in.")
app.command(audit_idocs, name="audit")


class Written(msgspec.Struct, frozen=True):
    """What was written. unsaid: fields that this kind of IDoc has no place for, and in how many
    places each of them says something."""

    file: str
    message: str
    basic_type: str
    bytes: int
    sha256: str
    idocs: int
    unsaid: Mapping[str, int]


@app.command(name="write")
def write_idocs(
    key: str,
    /,
    *more: str,
    out: Path,
    sender: str,
    receiver: str,
    message: str = "",
    sender_port: str = "",
    receiver_port: str = "",
    sender_type: str = "LS",
    receiver_type: str = "LS",
    client: str = "",
    test: bool = False,
    force: bool = False,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Write an IDoc for each of the documents that KEYS name, all of one kind.

    Each is read back before it is written; what would be read otherwise, or does not fit into a
    field, leaves no file. Fields that this kind of IDoc has no place for are named.

    Parameters
    ----------
    key
        Key of a document: item-master/SEAL-1, purchase-order/4500000001.
    more
        Keys of further ones.
    out
        File to write, such as seals.xml.
    sender
        Partner number of the sender, as the receiver knows it.
    receiver
        Partner number of the receiver, such as GBXCLNT100.
    message
        Message type, where several say the object: ORDCHG for an order that was sent before.
    sender_port
        Port of the sender.
    receiver_port
        Port of the receiver, such as SAPGBX.
    sender_type
        Partner type of the sender: LS for a system, KU for a customer, LI for a supplier.
    receiver_type
        Partner type of the receiver.
    client
        Client of the SAP system.
    test
        Mark the IDocs as a test.
    force
        Write over a file that exists.
    """
    refuse_existing(out, force=force)
    keys = tuple(dict.fromkeys((key, *more)))
    found = read(reading, lambda tx: _find(tx, keys))
    form = _form(found, message)
    parties = Parties(
        sender=sender,
        receiver=receiver,
        sender_port=sender_port,
        receiver_port=receiver_port,
        sender_type=sender_type,
        receiver_type=receiver_type,
        client=client,
        is_test=test,
    )
    document = write(form, [(parties, one) for one in found.values()], datetime.now(UTC))
    refuse_existing(out, force=force)
    write_whole(out, document.body)
    done = Written(
        file=str(out),
        message=form.kind[0],
        basic_type=form.kind[1],
        bytes=len(document.body),
        sha256=hashlib.sha256(document.body).hexdigest(),
        idocs=len(found),
        unsaid=document.unsaid,
    )
    if reading.is_json:
        put_json(done)
    else:
        screen().fields(_fields(done))


async def _find(tx: Tx, keys: Sequence[str]) -> dict[str, Document]:
    """The documents in the order asked for. Raises: Problem where one is not known."""
    known = await rows.load(tx, keys)
    if missing := [key for key in keys if key not in known]:
        raise Problem(
            Exit.NOT_FOUND,
            "not-found",
            f"Layshaft does not know {plural(len(missing), 'document')}",
            why=", ".join(missing),
            fix="Correct the keys; `layshaft trace NUMBER` shows what came in about an object",
        )
    return {key: known[key].known.document for key in keys}


def _form(found: Mapping[str, Document], message: str) -> Form:
    """How all of them go out: as the message asked for, else as the first one that says them.

    Raises: Problem where there is none.
    """
    forms = [
        form for form in FORMS.values() if all(isinstance(one, form.of) for one in found.values())
    ]
    names = [form.kind[0] for form in forms]
    if forms and not message:
        return forms[0]
    if message in names:
        return FORMS[message]
    kinds = ", ".join(sorted({key.partition("/")[0] for key in found}))
    raise Problem(
        Exit.USAGE,
        "idoc-kind",
        f"No IDoc {f'{message} ' if message else ''}says all of these: {kinds}",
        why=f"what says them: {', '.join(names) or 'none for all at once'}",
        fix="Name documents of one kind, of which handlers/systems/idoc/README.md has a row",
    )


def _fields(done: Written) -> list[tuple[str, str]]:
    listed = ", ".join(f"{path} ({times})" for path, times in done.unsaid.items())
    return [
        ("file", done.file),
        ("bytes", str(done.bytes)),
        ("sha256", done.sha256),
        ("IDocs", f"{done.idocs} of {done.message} in {done.basic_type}"),
        ("not in it", listed or "nothing"),
    ]

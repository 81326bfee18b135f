"""What is refused at the door: judged by properties and size, before anybody reads the content."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from canonical.codec import check_size
from canonical.errors import InvalidMessage


def refusal(
    *,
    violations: Sequence[str],
    content_encoding: str,
    user_id: str,
    users: Collection[str],
    body: bytes,
    max_body_bytes: int,
    is_ours: bool = False,
) -> InvalidMessage | None:
    """Why the delivery is not read at all; None if it is.

    violations: what could not be read of its properties. users: logins that may send it, empty =
    whoever may publish to the exchange; the broker vouches for a user_id, and takes no other than
    the login it came by. is_ours: an event of ours, whose body may stand in the log instead.
    """
    wrong = list(violations)
    if content_encoding not in ("", "identity"):
        # Opened, a body could be a thousand times what the size limit lets in.
        wrong.append("content_encoding: compressed bodies are not taken")
    if wrong:
        return InvalidMessage(
            "amqp-property",
            "; ".join(wrong),
            where="AMQP properties",
            remedy="Change the named properties in the client that publishes; they are not taken",
        )
    if users and user_id not in users:
        return InvalidMessage(
            "source-mismatch",
            "The message is not from a login of this source"
            if user_id
            else "The message does not say which login it is from",
            where="user_id",
            remedy="Publish with the source's own login and send its name as user_id",
        )
    if is_ours:
        return None
    try:
        check_size(body, limit=max_body_bytes)
    except InvalidMessage as failure:
        return failure
    return None


def check_claim(attributes: Mapping[str, str], source: str, others: Collection[str]) -> None:
    """Refuses a message that calls itself another source's than the one it came through.

    A `source` that is no name of ours, such as a URL of the sender's, says nothing here.
    """
    claimed = attributes.get("source", "")
    if claimed != source and claimed in others:
        raise InvalidMessage(
            "source-mismatch",
            f"The message came through the exchange of {source} and says it is from {claimed}",
            where="ce-source",
            remedy="Publish to the exchange of the source the message is from",
        )

"""Every story of `stories/`, told against the real service, servers and stand-ins."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ops.stack import Servers, management
from tests.scenarios import promises
from tests.scenarios.stage import Stage, set_up
from tests.scenarios.telling import Misspelt, Sentence, Story, read_stories
from tests.scenarios.vocabulary import carry_out, lay_out
from tests.scenarios.works import Works
from tests.simulation.simulate import quiet

STORIES = [
    story
    for file in sorted(Path(__file__).with_name("stories").glob("*.md"))
    if file.name != "works.md"
    for story in read_stories(file)
]


class Hosts:
    """Virtual hosts for stories: one after the other in the same, until one of them fails."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._made: list[str] = []
        self._url = ""

    def url(self) -> str:
        """Of one without a message in it."""
        if not self._url:
            name = f"{management.vhost_name(self._servers.amqp_url)}_{secrets.token_hex(4)}"
            self._made.append(name)
            self._url = management.create_vhost(
                self._servers.management_url, self._servers.amqp_url, name
            )
        return self._url

    def leave(self) -> None:
        """What the last story left in it is nothing to the next one."""
        self._url = ""

    def delete(self) -> None:
        for name in self._made:
            management.delete_vhost(self._servers.management_url, name)


@pytest.fixture(scope="module")
def hosts(servers: Servers) -> Iterator[Hosts]:
    """Virtual hosts of this module."""
    quiet()
    made = Hosts(servers)
    yield made
    made.delete()


@pytest.mark.parametrize("story", STORIES, ids=[story.name for story in STORIES])
async def test_story(story: Story, database_url: str, hosts: Hosts, tmp_path: Path) -> None:
    works = Works()
    rest = [s for s in story.sentences if not (s.part == "given" and lay_out(works, s))]
    try:
        async with set_up(
            works, database_url=database_url, amqp_url=hosts.url(), folder=tmp_path
        ) as stage:
            await _tell(stage, rest)
    except BaseException:
        hosts.leave()
        raise


async def _tell(stage: Stage, sentences: Sequence[Sentence]) -> None:
    section, part = -1, ""
    for sentence in sentences:
        if sentence.part == "when" and sentence.section != section:
            await stage.mark()
        section, part = sentence.section, sentence.part
        await carry_out(stage, sentence)
    if part != "then":
        raise Misspelt(sentences[-1].where, "a story ends with what has to be true")
    await promises.check(stage)

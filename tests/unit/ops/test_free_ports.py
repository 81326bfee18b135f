"""Ports for servers of ours."""

from __future__ import annotations

import socket
from collections import deque
from contextlib import ExitStack

import pytest

from ops.stack import StackUnavailable
from ops.stack.processes import free_port, free_ports


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> range:
    """Three ports, all there are; others may have taken the next ones after a free one."""
    ports = range(0)
    while not ports or not free(ports):
        first = free_port()
        ports = range(first, first + 3)
    monkeypatch.setattr("ops.stack.processes._PORTS", ports)
    monkeypatch.setattr("ops.stack.processes._given", deque(maxlen=10))
    return ports


def free(ports: range) -> bool:
    """Whether nobody listens on any of them."""
    with ExitStack() as probes:
        try:
            for port in ports:
                probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_no_port_is_given_twice(few: range) -> None:
    assert sorted(free_ports(3)) == list(few)


def test_a_port_that_was_given_out_and_is_not_in_use_yet_is_not_given_again(few: range) -> None:
    assert sorted([free_port(), free_port(), free_port()]) == list(few)
    with pytest.raises(StackUnavailable):
        free_port()


def test_a_port_somebody_listens_on_is_left_out(few: range) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", few[1]))
        assert sorted(free_ports(2)) == [few[0], few[2]]
        with pytest.raises(StackUnavailable):
            free_ports(3)

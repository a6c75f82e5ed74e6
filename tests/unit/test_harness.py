"""What the tests' worlds stand on: a clock whose answers differ, and ports that nobody else gets."""

from __future__ import annotations

import itertools
import socket
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.clock import TickingClock
from tests.ports import HOST, held_ports

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ports are let go at once")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class GivenClock:
    def __init__(self, *moments: datetime) -> None:
        self._moments = iter(moments)

    def now(self) -> datetime:
        return next(self._moments)


def listening(port: int) -> socket.socket:
    """As servers of asyncio listen."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((HOST, port))
    server.listen()
    return server


def test_no_two_answers_of_a_clock_are_the_same() -> None:
    later = NOON + timedelta(milliseconds=5)
    clock = TickingClock(GivenClock(NOON, NOON, NOON, later, later, NOON))
    answers = [clock.now() for _ in range(6)]
    assert all(first < second for first, second in itertools.pairwise(answers))
    assert (answers[0], answers[3]) == (NOON, later)


@on_linux
def test_a_held_port_is_for_a_server_and_nobody_else() -> None:
    with held_ports(3) as first:
        for port in range(first, first + 3):
            with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
                stranger.bind((HOST, port))
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((HOST, port))
            with listening(port):
                socket.create_connection((HOST, port)).close()


@on_linux
def test_two_hold_different_ports() -> None:
    with held_ports(2) as one, held_ports(2) as other:
        assert not {one, one + 1} & {other, other + 1}
    with socket.socket() as anybody:
        anybody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        anybody.bind((HOST, one))

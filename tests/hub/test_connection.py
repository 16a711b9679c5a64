"""At most one frame in flight, never a queue, and nothing lost that matters."""

from __future__ import annotations

import asyncio

from whosonline.core.entries import Profile
from whosonline.core.wire import CloseCode
from whosonline.hub.connection import Connection, Kind, frame
from whosonline.testing.clock import settle
from whosonline.testing.sockets import RecordingSocket

from .conftest import World


class Resyncs:
    """Notes what it is asked to resync."""

    def __init__(self) -> None:
        self.missed: list[Kind] = []

    def resync(self, connection: Connection, missed: Kind) -> None:
        self.missed.append(missed)


def connect(socket: RecordingSocket, send_timeout: float = 40) -> tuple[Connection, Resyncs]:
    owner = Resyncs()
    return Connection("ann", "s", "s", socket.send, socket.close, owner, send_timeout), owner


A, B, C = (frame(f'{{"n":{n}}}') for n in range(3))


async def test_a_frame_goes_out_in_the_same_turn_of_the_loop():
    socket = RecordingSocket()
    connection, _ = connect(socket)
    connection.offer(A, Kind.UPDATE)
    assert socket.messages == [{"n": 0}]


async def test_frames_that_a_slow_reader_missed_are_not_kept_but_resynced_once():
    socket = RecordingSocket()
    connection, owner = connect(socket)
    socket.stop_reading()
    connection.offer(A, Kind.UPDATE)
    connection.offer(B, Kind.UPDATE)
    connection.offer(C, Kind.DIRECTORY)
    await settle()
    assert socket.messages == []
    socket.read_on()
    await settle()
    assert socket.messages == [{"n": 0}]
    assert owner.missed == [Kind.UPDATE | Kind.DIRECTORY]
    connection.offer(B, Kind.UPDATE)
    assert socket.messages[1:] == [{"n": 1}]
    assert len(owner.missed) == 1


async def test_a_reply_waits_for_the_frame_in_flight():
    socket = RecordingSocket()
    connection, _ = connect(socket)
    socket.stop_reading()
    connection.offer(A, Kind.UPDATE)
    reply = asyncio.create_task(connection.send(B))
    await settle()
    assert not reply.done()
    socket.read_on()
    await reply
    assert socket.messages == [{"n": 0}, {"n": 1}]


async def test_a_reader_that_takes_nothing_is_given_up():
    socket = RecordingSocket()
    connection, owner = connect(socket, send_timeout=0.01)
    socket.stop_reading()
    connection.offer(A, Kind.UPDATE)
    connection.offer(B, Kind.UPDATE)
    async with asyncio.timeout(10):
        assert await socket.wait_closed() is CloseCode.GOING
    assert connection.closed
    assert owner.missed == []


async def test_a_send_that_fails_ends_the_connection():
    socket = RecordingSocket()
    connection, _ = connect(socket)
    socket.break_off()
    connection.offer(A, Kind.UPDATE)
    assert connection.closed
    assert socket.closed_with is CloseCode.GOING


async def test_nothing_is_sent_after_the_end():
    socket = RecordingSocket()
    connection, _ = connect(socket)
    connection.close(CloseCode.NOT_LOGGED_IN)
    connection.offer(A, Kind.UPDATE)
    await connection.send(B)
    connection.close(CloseCode.NOT_ALLOWED)
    assert socket.messages == []
    assert socket.closed_with is CloseCode.NOT_LOGGED_IN


async def test_ending_gives_up_the_frame_in_flight():
    socket = RecordingSocket()
    connection, owner = connect(socket)
    socket.stop_reading()
    connection.offer(A, Kind.UPDATE)
    await settle()
    connection.detach()
    await settle()
    socket.read_on()
    await settle()
    assert socket.messages == []
    assert owner.missed == []


async def test_a_slow_reader_of_a_hub_gets_the_full_present_state_once_it_reads_on(world: World):
    hub = await world.node()
    bob = await world.tab(hub, "bob")
    await bob.say('{"type":"watch","users":["ann","cy"]}')
    await bob.say('{"type":"watch","directory":{}}')
    bob.take()
    bob.socket.stop_reading()
    await world.tab(hub, "ann")
    cy = await world.tab(hub, "cy")
    world.sync.relist("zoe", Profile("zoe", "Zoe"), None)
    await world.clock.advance(1)
    cy.close()
    await world.clock.advance(10)
    assert bob.take() == []
    bob.socket.read_on()
    await settle()
    late, update, directory = bob.take()
    assert late["users"] == {"ann": {"status": "online"}}
    assert update["online"] == 2
    assert update["users"]["ann"] == {"status": "online"}
    assert update["users"]["cy"]["status"] == "offline"
    assert directory["reset"]
    assert [row["id"] for row in directory["added"]] == ["zoe"]

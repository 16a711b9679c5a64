/** A Presence and its connection: made, lost, made again, given up. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Presence } from "../../src/whosonline/static/whosonline/whosonline.js";
import { World, connected, eventsOf } from "./world.js";

test("it offers the protocol, and is open when it is welcomed", () => {
  const world = new World();
  const presence = new Presence("ws://example/users/", 300, world);
  const events = eventsOf(presence);
  presence.connect();
  assert.equal(String(world.socket.url), "ws://example/users/");
  assert.equal(world.socket.protocol, "whosonline.v1");
  world.socket.opens();
  assert.equal(presence.connection, "connecting");
  world.socket.tells({ type: "welcome", protocol: 1, you: "7", room: "site", online: 12 });
  assert.equal(presence.connection, "open");
  assert.equal(presence.state.you, "7");
  assert.equal(presence.state.online, 12);
  assert.deepEqual(events, ["open", "online"]);
});

test("a server that does not know who is online takes nothing from what is shown", () => {
  const { world, presence } = connected();
  presence.watchUsers(["1"]);
  world.socket.tells({ type: "update", online: 12, users: { 1: { status: "online" } } });
  world.socket.ends(1012);
  world.advance(1000);
  const events = eventsOf(presence);
  world.socket.opens();
  world.socket.tells({ type: "welcome", protocol: 1, you: "7", room: "site" });
  world.socket.tells({ type: "notice", state: "degraded" });
  assert.deepEqual(events, ["open", "degraded"]);
  assert.equal(presence.state.online, 12);
  assert.equal(presence.state.users.get("1").status, "online");
});

test("to connect twice opens one socket", () => {
  const { world, presence } = connected();
  presence.connect();
  presence.wake();
  assert.equal(world.sockets.length, 1);
});

test("a lost connection is made again after its delay, and each failure doubles that", () => {
  const { world, presence } = connected();
  world.randomValue = 1;
  world.socket.ends(1006);
  assert.equal(presence.connection, "reconnecting");
  for (const delay of [500, 1000, 2000]) {
    const before = world.sockets.length;
    world.advance(delay - 1);
    assert.equal(world.sockets.length, before);
    world.advance(1);
    assert.equal(world.sockets.length, before + 1);
    world.socket.ends(1006);
  }
});

test("a connection that held makes the next loss the first; one that did not hold does not", () => {
  const { world, presence } = connected();
  world.randomValue = 1;
  world.socket.ends(1006);
  world.advance(500);
  world.socket.welcomes();
  world.socket.ends(1006); // at once: the second in a row
  world.advance(999);
  assert.equal(world.sockets.length, 2);
  world.advance(1);
  world.socket.welcomes();
  world.advance(5000);
  world.socket.ends(1006);
  world.advance(500);
  assert.equal(world.sockets.length, 4);
  assert.equal(presence.connection, "reconnecting");
});

test("a server that is going is returned to within a second", () => {
  const { world } = connected();
  world.socket.ends(1012);
  world.advance(499);
  assert.equal(world.sockets.length, 1);
  world.advance(1);
  assert.equal(world.sockets.length, 2);
});

test("what may not connect stays closed, whatever wakes it", () => {
  const { world, presence } = connected();
  world.socket.ends(4403);
  world.advance(3_600_000);
  presence.wake();
  presence.connect();
  presence.reconnect();
  assert.equal(world.sockets.length, 1);
  assert.equal(presence.connection, "closed");
  assert.equal(world.reloads, 0);
});

// Waking

test("to wake it ends the wait for a retry, and no second attempt follows", () => {
  const { world, presence } = connected();
  world.randomValue = 1;
  world.socket.ends(1006); // due in 500 ms
  presence.wake();
  assert.equal(world.sockets.length, 2);
  world.socket.ends(1006); // due in 1000 ms
  world.advance(999);
  assert.equal(world.sockets.length, 2);
  world.advance(1);
  assert.equal(world.sockets.length, 3);
});

test("after the machine slept the socket is given up and another one opened", () => {
  const { world, presence } = connected();
  const [old] = world.sockets;
  world.sleep(120_000);
  world.advance(0);
  assert.equal(old.closed, true);
  assert.equal(world.sockets.length, 2);
  assert.equal(presence.connection, "reconnecting");
  world.socket.welcomes(5);
  old.tells({ type: "update", online: 99 });
  old.ends(1006);
  assert.equal(presence.connection, "open");
  assert.equal(presence.state.online, 5);
});

test("a wake-up call after the machine slept finds it out before any timer does", () => {
  const { world, presence } = connected();
  world.sleep(120_000);
  presence.wake();
  assert.equal(world.sockets.length, 2);
  world.advance(0);
  assert.equal(world.sockets.length, 2);
});

test("timers that a hidden page runs once a minute are no sleep", () => {
  const { world } = connected();
  for (let minute = 0; minute < 10; minute++) {
    world.sleep(60_000);
    world.advance(0);
  }
  assert.equal(world.sockets.length, 1);
});

test("a connection that is alive for hours is left alone", () => {
  const { world } = connected();
  world.advance(8 * 3_600_000);
  assert.equal(world.sockets.length, 1);
});

test("a clock that is put back harms nothing", () => {
  const { world, presence } = connected();
  world.sleep(-3_600_000);
  presence.wake();
  world.advance(10_000);
  assert.equal(world.sockets.length, 1);
});

test("another network means another socket, though the old one looks open", () => {
  const { world, presence } = connected();
  presence.reconnect();
  assert.equal(world.sockets[0].closed, true);
  assert.equal(world.sockets.length, 2);
});

test("a paused connection is closed, and waits to be woken", () => {
  const { world, presence } = connected();
  presence.pause();
  assert.equal(world.socket.closed, true);
  world.advance(3_600_000);
  assert.equal(world.sockets.length, 1);
  presence.wake();
  assert.equal(world.sockets.length, 2);
});

test("to pause ends the wait for a retry too", () => {
  const { world, presence } = connected();
  world.socket.ends(1006);
  presence.pause();
  world.advance(3_600_000);
  assert.equal(world.sockets.length, 1);
});

// Not logged in

/** A page that logs out itself has left by then. */
const RELOAD_AFTER = 500;

test("who is not logged in any more has the page reloaded soon, and once", () => {
  const { world, presence } = connected();
  world.socket.ends(4401);
  assert.equal(presence.connection, "closed");
  world.advance(RELOAD_AFTER - 1);
  assert.equal(world.reloads, 0);
  world.advance(1);
  assert.equal(world.reloads, 1);
  const again = new Presence("ws://example/users/", 300, world);
  again.connect();
  world.socket.opens();
  world.socket.ends(4401);
  world.advance(60_000);
  assert.equal(world.reloads, 1);
  assert.equal(again.connection, "closed");
});

test("after a welcome the page may be reloaded again", () => {
  const { world } = connected();
  world.socket.ends(4401);
  world.advance(RELOAD_AFTER);
  const again = new Presence("ws://example/users/", 300, world);
  again.connect();
  world.socket.welcomes();
  world.socket.ends(4401);
  world.advance(RELOAD_AFTER);
  assert.equal(world.reloads, 2);
});

test("where a browser allows no storage the page is not reloaded, and all else works", () => {
  const world = new World();
  Object.defineProperty(world, "sessionStorage", {
    get() {
      throw new Error("not allowed");
    },
  });
  const presence = new Presence("ws://example/users/", 300, world);
  presence.connect();
  world.socket.welcomes();
  assert.equal(presence.connection, "open");
  world.socket.ends(4401);
  world.advance(RELOAD_AFTER);
  assert.equal(world.reloads, 0);
  assert.equal(presence.connection, "closed");
});

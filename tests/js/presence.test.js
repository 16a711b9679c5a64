/** What a Presence asks for, tells of its person, and makes of what it is told. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Presence } from "../../src/whosonline/static/whosonline/whosonline.js";
import { World, connected, eventsOf } from "./world.js";

const VALID = JSON.parse(readFileSync(new URL("../vectors/client_messages.json", import.meta.url)))
  .filter((message) => !message.error && message.message)
  .map(({ message }) => shapeOf(message));

/** A message with every value but its type replaced by what kind of value it is. */
function shapeOf(value, field) {
  if (field === "type" || value === null || value === true) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${[...new Set(value.map((item) => shapeOf(item)))]}]`;
  if (typeof value !== "object") return typeof value;
  const fields = Object.keys(value).sort();
  return `{${fields.map((name) => `${name}:${shapeOf(value[name], name)}`)}}`;
}

test("what is watched before the socket is open is asked for when it opens", () => {
  const world = new World();
  const presence = new Presence("ws://example/users/", 300, world);
  presence.connect();
  presence.watchUsers(["1", "2"]);
  presence.watchDirectory(null, "bob");
  assert.deepEqual(world.socket.sent, []);
  world.socket.opens();
  assert.deepEqual(world.socket.sent, [
    { type: "watch", users: ["1", "2"] },
    { type: "watch", directory: { after: null, until: "bob" } },
  ]);
});

test("a new connection asks again for the last of each kind", () => {
  const { world, presence } = connected();
  presence.watchUsers(["1"]);
  presence.watchUsers(["2", "3"]);
  presence.watchPage("site", "ann", 10);
  presence.watchDirectory();
  world.socket.ends(1012);
  world.advance(1000);
  world.socket.opens();
  assert.deepEqual(world.socket.sent, [
    { type: "watch", users: ["2", "3"] },
    { type: "watch", room: "site", after: "ann", limit: 10 },
    { type: "watch", directory: { after: null, until: null } },
  ]);
});

test("what is unwatched is not asked for again", () => {
  const { world, presence } = connected();
  presence.watchUsers(["1"]);
  presence.watchPage("doc:42");
  presence.watchDirectory();
  world.socket.sent.length = 0;
  presence.unwatch("users");
  presence.unwatch("page");
  presence.unwatch("directory");
  presence.unwatch("users");
  presence.unwatch("page");
  assert.deepEqual(world.socket.sent, [
    { type: "unwatch", users: true },
    { type: "unwatch", room: "doc:42" },
    { type: "unwatch", directory: true },
  ]);
  world.socket.ends(1012);
  world.advance(1000);
  world.socket.opens();
  assert.deepEqual(world.socket.sent, []);
});

test("the same users, in any order and number, are not asked for twice", () => {
  const { world, presence } = connected();
  presence.watchUsers(["1", "2"]);
  presence.watchUsers(["2", "1", "2"]);
  assert.equal(world.socket.sent.length, 1);
  presence.watchUsers(["1", "3"]);
  presence.watchUsers(["1"]);
  assert.equal(world.socket.sent.length, 3);
});

test("no more than 500 users are watched: the first", () => {
  const { world, presence } = connected();
  const ids = Array.from({ length: 600 }, (_, id) => String(id));
  presence.watchUsers(ids);
  assert.deepEqual(world.socket.sent, [{ type: "watch", users: ids.slice(0, 500) }]);
});

test("the rows of a page and of the directory come in order, and not before they are told", () => {
  const { world, presence } = connected();
  presence.watchPage("site");
  presence.watchDirectory();
  assert.equal(presence.page, null);
  assert.equal(presence.directory, null);
  const [ann, bob] = [{ id: "1", name: "Ann", key: "ann" }, { id: "2", name: "bob" }];
  const page = { room: "site", after: null, reset: true, put: [bob, ann], order: ["1", "2"] };
  world.socket.tells({ type: "update", page });
  world.socket.tells({ type: "directory", reset: true, added: [bob, ann] });
  assert.deepEqual(presence.page.map((row) => row.key), ["ann", "bob"]);
  assert.deepEqual(presence.directory.map((row) => row.key), ["ann", "bob"]);
});

// Idle

test("after some time without input the person is idle, and with the first input active", () => {
  const { world, presence } = connected(300);
  world.advance(200_000);
  presence.touch();
  world.advance(299_999);
  assert.deepEqual(world.socket.sent, []);
  world.advance(1);
  assert.deepEqual(world.socket.sent, [{ type: "idle" }]);
  world.advance(3_600_000);
  presence.touch();
  presence.touch();
  assert.deepEqual(world.socket.sent, [{ type: "idle" }, { type: "active" }]);
  world.advance(299_999);
  assert.equal(world.socket.sent.length, 2);
  world.advance(1);
  assert.deepEqual(world.socket.sent.at(-1), { type: "idle" });
});

test("a new connection of somebody idle begins idle", () => {
  const { world, presence } = connected(60);
  presence.watchUsers(["1"]);
  world.advance(60_000);
  world.socket.ends(1012);
  world.advance(1000);
  world.socket.opens();
  assert.equal(String(world.socket.url), "ws://example/users/?idle=1");
  assert.deepEqual(world.socket.sent, [{ type: "watch", users: ["1"] }]);
});

test("it comes back with the newest token that it was given", () => {
  const { world, presence } = connected();
  const addresses = [];
  for (const told of [
    { type: "welcome", protocol: 1, you: "7", room: "site", online: 1, resume: "a:b" },
    { type: "resume", resume: "c&d" },
    { type: "welcome", protocol: 1, you: "7", room: "site", online: 1 },
  ]) {
    world.socket.tells(told);
    presence.reconnect();
    addresses.push(String(world.socket.url));
    world.socket.opens();
  }
  assert.deepEqual(addresses, [
    "ws://example/users/?resume=a%3Ab",
    "ws://example/users/?resume=c%26d",
    "ws://example/users/",
  ]);
});

test("who comes back while the connection is being made is told of as active", () => {
  const { world, presence } = connected(60);
  world.advance(60_000);
  world.socket.ends(1012);
  world.advance(1000);
  presence.touch();
  world.socket.opens();
  assert.deepEqual(world.socket.sent, [{ type: "active" }]);
});

test("a new connection of somebody who came back meanwhile hears nothing of it", () => {
  const { world, presence } = connected(60);
  world.advance(60_000);
  world.socket.ends(1012);
  presence.touch();
  world.advance(1000);
  world.socket.opens();
  assert.deepEqual(world.socket.sent, []);
});

test("a time longer than timers can wait does not make them spin", () => {
  const world = new World();
  const { setTimeout } = world;
  const delays = [];
  world.setTimeout = (callback, delay) => {
    delays.push(delay);
    return setTimeout(callback, delay);
  };
  new Presence("ws://example/users/", 10_000_000, world);
  world.advance(3 * 86_400_000);
  assert.ok(delays.every((delay) => delay > 0 && delay < 2 ** 31));
});

// Being told

test("a notice shows as degraded, and ends; a new connection is not degraded until told", () => {
  const { world, presence } = connected();
  const events = eventsOf(presence);
  world.socket.tells({ type: "notice", state: "degraded" });
  world.socket.tells({ type: "notice", state: "ok" });
  world.socket.tells({ type: "notice", state: "degraded" });
  world.socket.ends(1012);
  world.advance(1000);
  world.socket.welcomes();
  assert.deepEqual(events, ["degraded", "open", "degraded", "reconnecting", "open"]);
});

test("only what a message changed is announced", () => {
  const { world, presence } = connected();
  presence.watchUsers(["1"]);
  presence.watchDirectory();
  const events = eventsOf(presence);
  world.socket.tells({ type: "update", online: 1 });
  world.socket.tells({ type: "update", users: { 2: { status: "online" } } });
  world.socket.tells({ type: "update", page: { room: "site", after: null, reset: true, put: [] } });
  world.socket.tells({ type: "directory", added: [{ id: "1", name: "ann" }] });
  assert.deepEqual(events, []);
  world.socket.tells({ type: "update", online: 2, users: { 1: { status: "online" } } });
  world.socket.tells({ type: "directory", reset: true, added: [] });
  assert.deepEqual(events, ["online", "users", "directory"]);
});

test("frames that are no message of this protocol are ignored", () => {
  const { world, presence } = connected();
  const before = presence.state;
  for (const text of ["", "hello", "null", "5", "[]", "{}", '{"type":"fireworks"}']) world.socket.tells(text);
  assert.equal(presence.state, before);
  assert.equal(presence.connection, "open");
});

test("an error of the server is written to the console", (t) => {
  const warn = t.mock.method(console, "warn", () => {});
  const { world } = connected();
  world.socket.tells({ type: "error", code: "bad_message", detail: "what?" });
  assert.match(warn.mock.calls[0].arguments[0], /bad_message: what\?/);
});

test("every message it sends has the shape of a valid one", () => {
  const { world, presence } = connected(60);
  presence.watchUsers(["1", "2"]);
  presence.watchPage("site");
  presence.watchPage("doc:42", "bob", 5);
  presence.watchDirectory();
  presence.watchDirectory(null, "bob");
  presence.watchDirectory("bob");
  presence.watchDirectory("ann", "bob");
  presence.watchPage("site", null, 5, "ann");
  presence.watchPage("site", "bob", 5, "ann");
  presence.watchDirectory(null, null, "ann");
  presence.watchDirectory(null, "bob", "ann");
  for (const kind of ["users", "page", "directory"]) presence.unwatch(kind);
  world.advance(60_000);
  presence.touch();
  assert.equal(world.socket.sent.length, 16);
  for (const message of world.socket.sent) assert.ok(VALID.includes(shapeOf(message)), JSON.stringify(message));
});

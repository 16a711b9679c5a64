/** The pure part of the browser module; tests/testing/test_client.py runs the same vectors in Python. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as whosonline from "../../src/whosonline/static/whosonline/whosonline.js";

const { NOTHING, ask, compareKeys, inNameOrder, merge, relativeTime, retryDelay, watches } = whosonline;

function vectors(name) {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url)));
}

/** Maps as the objects that JSON has. */
function plain(value) {
  if (value instanceof Map) return plain(Object.fromEntries(value));
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

function run(steps) {
  return steps.reduce((state, step) => (step.ask ? ask(state, step.ask) : merge(state, step.told)), NOTHING);
}

for (const { name, steps, state: expected, listed } of vectors("merge")) {
  test(`merge: ${name}`, () => {
    const state = run(steps);
    assert.deepEqual(plain(state), { ...plain(NOTHING), ...expected });
    if (listed) assert.deepEqual(inNameOrder(state.directory.rows.values()).map((row) => row.id), listed);
  });
}

test("a merge leaves the state before as it was", () => {
  for (const { steps } of vectors("merge")) {
    const before = run(steps.slice(0, -1));
    const copy = JSON.stringify(plain(before));
    merge(before, steps.at(-1)?.told);
    assert.equal(JSON.stringify(plain(before)), copy);
  }
});

test("a new connection asks for all that is still watched", () => {
  const users = { type: "watch", users: ["1", "2"] };
  const page = { type: "watch", room: "site", after: null, limit: 5 };
  const directory = { type: "watch", directory: { after: null, until: "bob" } };
  const state = [users, page, directory].reduce(ask, NOTHING);
  assert.deepEqual(watches(state), [users, page, directory]);
  assert.deepEqual(watches(ask(state, { type: "unwatch", room: "site" })), [users, directory]);
  assert.deepEqual(watches(ask(state, { type: "unwatch", users: true })), [page, directory]);
  assert.deepEqual(watches(NOTHING), []);
});

for (const { name, keys } of vectors("order")) {
  test(`name order: ${name}`, () => {
    assert.deepEqual(keys.toReversed().sort(compareKeys), keys);
    for (const [i, a] of keys.entries()) {
      for (const [j, b] of keys.entries()) assert.equal(Math.sign(compareKeys(a, b)), Math.sign(i - j));
    }
  });
}

test("rows of one key are ordered by id", () => {
  const rows = ["2", "10", "1"].map((id) => ({ id, key: "ann" }));
  assert.deepEqual(inNameOrder(rows).map((row) => row.id), ["1", "10", "2"]);
});

test("a retry waits at random, up to twice as long each time, up to 30 s", () => {
  const most = [0, 1, 2, 3, 4, 5, 6, 7, 2000].map((attempt) => retryDelay(attempt, 1006, () => 1));
  assert.deepEqual(most, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  assert.equal(retryDelay(3, 1006, () => 0), 0);
  assert.equal(retryDelay(3, 1006, () => 0.25), 1000);
});

test("a server that is going is asked again within a random second, whatever went before", () => {
  assert.equal(retryDelay(9, 1012, () => 1), 1000);
  assert.equal(retryDelay(0, 1012, () => 0.5), 500);
});

test("who is not logged in, or not allowed, does not return", () => {
  assert.equal(retryDelay(0, 4401), null);
  assert.equal(retryDelay(0, 4403), null);
  for (const code of [1000, 1001, 1005, 1006, 1011, 1013, 4400, 4408]) {
    assert.equal(retryDelay(0, code, () => 1), 500, String(code));
  }
});

test("without a random source of its own a retry uses the browser's", () => {
  const delays = new Set(Array.from({ length: 20 }, () => retryDelay(6, 1006)));
  assert.ok(delays.size > 1);
  assert.ok([...delays].every((delay) => delay >= 0 && delay <= 30_000));
});

test("a time is told in words, in whole units that have passed", () => {
  const said = {
    "-5000": "just now",
    0: "just now",
    59.9: "just now",
    60: "1 min ago",
    119: "1 min ago",
    [59 * 60 + 59]: "59 min ago",
    3600: "1 h ago",
    [23 * 3600 + 3599]: "23 h ago",
    86_400: "1 day ago",
    [2 * 86_400 - 1]: "1 day ago",
    [2 * 86_400]: "2 days ago",
    [400 * 86_400]: "400 days ago",
  };
  for (const [seconds, words] of Object.entries(said)) assert.equal(relativeTime(Number(seconds)), words);
});

/** The world of a Presence, for tests: time that stands still, sockets that a test speaks for. */

import { Presence } from "../../src/whosonline/static/whosonline/whosonline.js";

/** A Presence that was welcomed, and its world. */
export function connected(idleAfter) {
  const world = new World();
  const presence = new Presence("ws://example/users/", idleAfter, world);
  presence.connect();
  world.socket.welcomes();
  return { world, presence };
}

/** The events of a Presence as they come: the kind of what changed, or how the connection is now. */
export function eventsOf(presence) {
  const events = [];
  for (const type of ["connection", "online", "users", "page", "directory"]) {
    presence.addEventListener(type, () => events.push(type === "connection" ? presence.connection : type));
  }
  return events;
}

export class World {
  sockets = [];
  reloads = 0;
  randomValue = 0.5;
  Math = { random: () => this.randomValue };
  location = { reload: () => this.reloads++ };
  sessionStorage = new MemoryStorage();
  #now = 1_785_230_000_000;
  #timers = new Map();
  #lastTimer = 0;

  constructor() {
    const world = this;
    this.Date = { now: () => world.#now };
    this.WebSocket = class extends StubSocket {
      constructor(url, protocol) {
        super(url, protocol);
        world.sockets.push(this);
      }
    };
  }

  setTimeout = (callback, delay) => {
    this.#timers.set(++this.#lastTimer, { callback, due: this.#now + delay });
    return this.#lastTimer;
  };

  clearTimeout = (timer) => this.#timers.delete(timer);

  get socket() {
    return this.sockets.at(-1);
  }

  /** Move time on; every timer in between runs at its own time. */
  advance(milliseconds) {
    const end = this.#now + milliseconds;
    for (;;) {
      const [timer, first] = [...this.#timers].sort(([, a], [, b]) => a.due - b.due)[0] ?? [];
      if (!first || first.due > end) break;
      this.#timers.delete(timer);
      this.#now = Math.max(this.#now, first.due);
      first.callback();
    }
    this.#now = end;
  }

  /** Move the clock on without running a timer, as a machine does that sleeps. */
  sleep(milliseconds) {
    this.#now += milliseconds;
  }
}

class StubSocket {
  readyState = 0;
  sent = [];
  closed = false;

  constructor(url, protocol) {
    this.url = url;
    this.protocol = protocol;
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 2;
    this.closed = true;
  }

  // What the server does

  opens() {
    this.readyState = 1;
    this.onopen?.();
  }

  tells(message) {
    this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }

  welcomes(online = 1) {
    this.opens();
    this.tells({ type: "welcome", protocol: 1, you: "7", room: "site", online });
  }

  ends(code) {
    this.readyState = 3;
    this.onclose?.({ code });
  }
}

class MemoryStorage {
  #items = new Map();
  getItem = (key) => this.#items.get(key) ?? null;
  setItem = (key, value) => void this.#items.set(key, String(value));
  removeItem = (key) => void this.#items.delete(key);
}

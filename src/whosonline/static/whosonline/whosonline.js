/**
 * Who is online, live: one socket, and every mark on the page kept true.
 *
 * `{% presence_script %}` loads this module; it connects, and `window.whosonline` is the page's Presence.
 * The pure part comes first (a state and a message give a state), then the socket, then the page.
 * docs/wire.md describes the messages.
 */

// States

/** What a client knows before it is told anything. */
export const NOTHING = Object.freeze({
  you: null,
  online: null,
  degraded: false,
  /** Whether this person appears to others as offline. */
  invisible: null, // until the first welcome
  /** What spares the server a look-up when this page comes back, or null. */
  resume: null,
  /** Watched users by id: {status, last_seen?}, or null while not told. */
  users: new Map(),
  /** {watch, rows, order}: what was asked for, rows by id (null while not told), ids in order. */
  page: null,
  /** {watch, rows} likewise. */
  directory: null,
});

/** Return the state after asking for something: a `watch` or an `unwatch`. */
export function ask(state, message) {
  const watch = message.type === "watch" ? message : null;
  if (message.users) {
    const ids = watch ? message.users : [];
    return { ...state, users: new Map(ids.map((id) => [id, state.users.get(id) ?? null])) };
  }
  if (message.directory) {
    return { ...state, directory: watch && { watch, rows: null } };
  }
  return { ...state, page: watch && { watch, rows: null, order: [] } };
}

/** Return the messages that ask for all that a state watches. */
export function watches({ users, page, directory }) {
  const messages = users.size ? [{ type: "watch", users: [...users.keys()] }] : [];
  return messages.concat([page, directory].filter(Boolean).map((part) => part.watch));
}

/** Return the state after a message of the server. What is not understood changes nothing. */
export function merge(state, message) {
  switch (message?.type) {
    case "welcome":
      // A server whose store is away says so after each welcome.
      return {
        ...state,
        you: message.you,
        online: message.online ?? state.online,
        resume: message.resume ?? null,
        invisible: message.invisible ?? false,
        degraded: false,
      };
    case "update":
      return {
        ...state,
        online: message.online ?? state.online,
        users: mergeUsers(state.users, message.users ?? {}),
        page: mergePage(state.page, message.page),
      };
    case "directory":
      return { ...state, directory: mergeDirectory(state.directory, message) };
    case "resume":
      return { ...state, resume: message.resume };
    case "visibility":
      return { ...state, invisible: message.invisible };
    case "notice":
      return { ...state, degraded: message.state === "degraded" };
    default:
      return state;
  }
}

function mergeUsers(users, told) {
  // An update may still speak of users that were watched when it was sent.
  const watched = Object.entries(told).filter(([id]) => users.has(id));
  return watched.length ? new Map([...users, ...watched]) : users;
}

function mergePage(page, told) {
  const watched = told && told.room === page?.watch.room && isPart(page.watch, told);
  // Before the full state has come, changes are those of an earlier watch.
  if (!watched || !(page.rows || told.reset)) return page;
  const rows = mergeRows(page.rows, told.reset, told.put, told.drop);
  return { ...page, rows, order: (told.order ?? page.order).filter((id) => rows.has(id)) };
}

function mergeDirectory(directory, told) {
  // A reset names its part, which may be an earlier one; changes go on from the reset before them.
  const watched = directory && (told.reset ? isPart(directory.watch.directory, told) : directory.rows);
  if (!watched) return directory;
  return { ...directory, rows: mergeRows(directory.rows, told.reset, told.added, told.removed) };
}

function isPart({ after = null, until = null, search = null }, told) {
  const sameEnds = after === (told.after ?? null) && until === (told.until ?? null);
  return sameEnds && (search || null) === (told.search ?? null);
}

function mergeRows(rows, reset, put = [], drop = []) {
  const merged = new Map(reset ? [] : rows);
  for (const row of put) merged.set(row.id, { key: row.name, ...row });
  for (const id of drop) merged.delete(id);
  return merged;
}

/** Compare by code point, as the server does. (`<` compares UTF-16 units: U+10000 before U+FFFF.) */
export function compareKeys(a, b) {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const difference = a.codePointAt(i) - b.codePointAt(i);
    if (difference) return difference;
  }
  return a.length - b.length;
}

/** Return rows in name order: by key, then by id. */
export function inNameOrder(rows) {
  return [...rows].sort((a, b) => compareKeys(a.key, b.key) || compareKeys(a.id, b.id));
}

const CODE = { going: 1012, notLoggedIn: 4401, notAllowed: 4403 };

/** Return the milliseconds until the next attempt, the `attempt`-th in a row from 0; null for never. */
export function retryDelay(attempt, code, random = Math.random) {
  if (code === CODE.notLoggedIn || code === CODE.notAllowed) return null;
  if (code === CODE.going) return random() * 1000;
  return random() * Math.min(30_000, 500 * 2 ** attempt);
}

/** Return in words how long ago something was; what a slow clock sees in the future is "just now". */
export function relativeTime(secondsAgo) {
  const minutes = Math.floor(secondsAgo / 60);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  const days = Math.floor(minutes / (24 * 60));
  return days === 1 ? "1 day ago" : `${days} days ago`;
}

// The socket

const SUBPROTOCOL = "whosonline.v1";
const MAX_USERS = 500;
/** A connection that lasted so long was a good one: the next loss is the first in a row. */
const STABLE = 5_000;
const CLOCK_INTERVAL = 10_000;
/** A clock that jumps by so much was asleep. Browsers run the timers of hidden pages once a minute. */
const SLEPT = 90_000;
const DAY = 86_400_000;
/** Who logs out in this page is on the way to the next one: a reload at once would take them off it. */
const RELOAD_AFTER = 500;
const RELOADED = "whosonline.reloaded";

/**
 * A page's connection, and what it has learnt.
 *
 * Events: `connection`, `online`, `invisible`, `users`, `page`, `directory`: what of it has changed.
 */
export class Presence extends EventTarget {
  /** @type {"connecting" | "open" | "degraded" | "reconnecting" | "closed"} */
  connection = "connecting";
  state = NOTHING;
  #url;
  #idleAfter;
  #world;
  #socket = null;
  #welcomedAt = null;
  #attempt = 0;
  #retry = null;
  #idle = false;
  #lastInput;
  #lastTick;

  /**
   * @param {string | URL} url of the socket
   * @param {number} idleAfter seconds without input after which the person counts as away
   * @param {object} world WebSocket, timers, Date, Math, sessionStorage and location; tests bring their own
   */
  constructor(url, idleAfter = 300, world = globalThis) {
    super();
    this.#url = url;
    this.#idleAfter = idleAfter * 1000;
    this.#world = world;
    this.#lastInput = this.#lastTick = world.Date.now();
    this.#tick();
    this.#checkIdle();
  }

  /** Open the socket, unless it is open, or the server wants none. */
  connect() {
    if (this.#socket || this.connection === "closed") return;
    this.#world.clearTimeout(this.#retry);
    // Said with the address: by a message of its own it would come too late, and the person be seen online.
    const idle = this.#idle;
    const url = new URL(this.#url);
    if (idle) url.searchParams.set("idle", "1");
    if (this.state.resume) url.searchParams.set("resume", this.state.resume);
    const socket = (this.#socket = new this.#world.WebSocket(url, SUBPROTOCOL));
    socket.onopen = () => this.#opened(idle);
    socket.onmessage = (event) => this.#received(event.data);
    socket.onclose = (event) => this.#closed(event.code);
  }

  /** Close the socket until `connect` or `wake`. */
  pause() {
    this.#world.clearTimeout(this.#retry);
    this.#abandon();
  }

  /** Something says that now is a good time: a retry need not be waited for. */
  wake() {
    this.#checkClock();
    this.connect();
  }

  /** Take the socket for dead, whatever it says, and open another. */
  reconnect() {
    this.#abandon();
    this.connect();
  }

  /** Watch these users (500 at most) instead of those before. */
  watchUsers(ids) {
    const users = [...new Set(ids)].slice(0, MAX_USERS);
    const same = users.length === this.state.users.size && users.every((id) => this.state.users.has(id));
    if (!same) this.#ask(users.length ? { type: "watch", users } : { type: "unwatch", users: true });
  }

  /** Watch a page of who is in a room, after a name key; with a search, of those whom it finds. */
  watchPage(room, after = null, limit = 50, search = null) {
    this.#ask({ type: "watch", room, after, limit, ...(search && { search }) });
  }

  /** Watch a part of the list of all users: after < key <= until; null for an open end. A search likewise. */
  watchDirectory(after = null, until = null, search = null) {
    this.#ask({ type: "watch", directory: { after, until, ...(search && { search }) } });
  }

  /** Compare two name keys as the server orders them: for pages that put rows in order themselves. */
  compareKeys(a, b) {
    return compareKeys(a, b);
  }

  /** @param {"users" | "page" | "directory"} kind */
  unwatch(kind) {
    if (kind === "users") this.watchUsers([]);
    else if (kind === "directory") this.#ask({ type: "unwatch", directory: true });
    else if (this.state.page) this.#ask({ type: "unwatch", room: this.state.page.watch.room });
  }

  /** The watched page's rows in order, or null while not told. */
  get page() {
    const { rows, order } = this.state.page ?? {};
    return rows ? order.map((id) => rows.get(id)) : null;
  }

  /** The watched part of the list of all users in name order, or null while not told. */
  get directory() {
    const rows = this.state.directory?.rows;
    return rows ? inNameOrder(rows.values()) : null;
  }

  /** The person did something. */
  touch() {
    this.#lastInput = this.#world.Date.now();
    if (this.#idle) {
      this.#idle = false;
      this.#send({ type: "active" });
    }
  }

  #checkIdle() {
    const left = this.#lastInput + this.#idleAfter - this.#world.Date.now();
    if (left <= 0 && !this.#idle) {
      this.#idle = true;
      this.#send({ type: "idle" });
    }
    // No longer than a day: browsers take a delay above 2³¹ ms for none.
    const delay = Math.min(left > 0 ? left : this.#idleAfter, DAY);
    this.#world.setTimeout(() => this.#checkIdle(), delay);
  }

  #tick() {
    this.#checkClock();
    this.#world.setTimeout(() => this.#tick(), CLOCK_INTERVAL);
  }

  #checkClock() {
    // The server gave up a machine that slept; its own end of the socket may not know for minutes.
    const slept = this.#world.Date.now() - this.#lastTick > SLEPT;
    this.#lastTick = this.#world.Date.now();
    if (slept) this.reconnect();
  }

  #ask(message) {
    this.state = ask(this.state, message);
    this.#send(message);
  }

  /** Send if the socket is open; if not, its opening sends all that is still meant. */
  #send(message) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  #opened(idle) {
    if (this.#idle !== idle) this.#send({ type: this.#idle ? "idle" : "active" });
    for (const message of watches(this.state)) this.#send(message);
  }

  #received(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    const before = this.state;
    this.state = merge(before, message);
    if (message?.type === "welcome") this.#welcomed();
    if (message?.type === "error") console.warn(`whosonline: ${message.code}: ${message.detail}`);
    this.#show(this.state.degraded ? "degraded" : "open");
    for (const part of ["online", "invisible", "users", "page", "directory"]) {
      if (this.state[part] !== before[part]) this.dispatchEvent(new Event(part));
    }
  }

  #welcomed() {
    this.#welcomedAt = this.#world.Date.now();
    try {
      this.#world.sessionStorage.removeItem(RELOADED);
    } catch {
      // Nothing was stored either.
    }
  }

  #closed(code) {
    const welcomedAt = this.#welcomedAt ?? Infinity;
    if (this.#world.Date.now() - welcomedAt >= STABLE) this.#attempt = 0;
    this.#socket = this.#welcomedAt = null;
    const delay = retryDelay(this.#attempt++, code, this.#world.Math.random);
    if (delay !== null) this.#retry = this.#world.setTimeout(() => this.connect(), delay);
    this.#show(delay === null ? "closed" : "reconnecting");
    if (code === CODE.notLoggedIn) this.#world.setTimeout(() => this.#reloadOnce(), RELOAD_AFTER);
  }

  #abandon() {
    if (!this.#socket) return;
    const socket = this.#socket;
    // A dead socket reports its end minutes late.
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.#socket = this.#welcomedAt = null;
    this.#show("reconnecting");
  }

  #reloadOnce() {
    try {
      if (this.#world.sessionStorage.getItem(RELOADED)) return;
      this.#world.sessionStorage.setItem(RELOADED, "1");
    } catch {
      return; // who cannot remember a reload would reload for ever
    }
    this.#world.location.reload();
  }

  #show(connection) {
    if (this.connection !== connection) {
      this.connection = connection;
      this.dispatchEvent(new Event("connection"));
    }
  }
}

// The page

const STATUS_WORDS = { online: "Online", away: "Away", offline: "Offline" };
const CONNECTION_WORDS = {
  reconnecting: "Connection lost. Reconnecting…",
  degraded: "The server cannot see who is online just now; statuses are as last known.",
  closed: "Not live any more; statuses are as last known.",
};
/** What is well again sooner, or a page that reloads itself meanwhile, is not worth a word. */
const SAY_AFTER = 1_000;
/** What is added to the page meanwhile is looked for, and asked for, together. */
const SCAN_AFTER = 100;
const SEEN_INTERVAL = 10_000;
/** What is within an element with this attribute is not watched for now: a page may set it on what is far off screen. */
const PAUSED = "data-presence-paused";
const MARKS = [
  "data-presence-user",
  "data-presence-seen",
  "data-presence-count",
  "data-presence-connection",
  PAUSED,
];
const USER_MARKS = "[data-presence-user], [data-presence-seen]";
const SEEN_MARKS = "time[data-presence-seen][datetime]:not([hidden])";
/** Not "scroll": rows that come and go move what is below them, and that scrolls by itself. */
const INPUT = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "touchmove"];

/** Keep the marks of a document true, those added later too, and tell the presence what its person does. */
export function bind(presence, root = document) {
  bindMarks(presence, root);
  bindInput(presence, root);
}

function bindMarks(presence, root) {
  const each = (selector, show) => root.querySelectorAll(selector).forEach(show);
  const showUsers = () => each(USER_MARKS, (mark) => showUser(mark, presence.state.users.get(idOf(mark))));
  const showCount = () => {
    const { online } = presence.state;
    if (online !== null) each("[data-presence-count]", (mark) => set(mark, "textContent", String(online)));
  };
  const showConnection = connectionShower(presence, root);
  const scan = () => {
    due = null;
    const marks = [...root.querySelectorAll(USER_MARKS)].filter((mark) => !mark.closest(`[${PAUSED}]`));
    presence.watchUsers(marks.map(idOf).filter(Boolean));
    showUsers();
    showCount();
    showConnection();
  };
  presence.addEventListener("users", showUsers);
  presence.addEventListener("online", showCount);
  presence.addEventListener("connection", showConnection);
  let due = null;
  const observer = new MutationObserver(() => {
    due ??= setTimeout(scan, SCAN_AFTER);
  });
  observer.observe(root, { childList: true, subtree: true, attributeFilter: MARKS });
  setInterval(() => each(SEEN_MARKS, showSeen), SEEN_INTERVAL);
  scan();
}

function idOf(mark) {
  return mark.dataset.presenceUser ?? mark.dataset.presenceSeen;
}

function showUser(mark, user) {
  if (user && "presenceUser" in mark.dataset) {
    set(mark.dataset, "status", user.status);
    set(mark, "textContent", STATUS_WORDS[user.status] ?? user.status);
  }
  if (user && "presenceSeen" in mark.dataset) {
    if (user.status !== "offline") set(mark, "hidden", true);
    // When somebody was last seen may follow later: what the page said at load holds until then.
    else if (user.last_seen !== undefined) {
      set(mark, "dateTime", new Date(user.last_seen * 1000).toISOString());
      set(mark, "hidden", false);
    }
  }
  if (mark.matches(SEEN_MARKS)) showSeen(mark);
}

function showSeen(mark) {
  set(mark, "textContent", relativeTime((Date.now() - Date.parse(mark.dateTime)) / 1000));
}

/** Write what is not there already: whoever observes the page, the scan among them, is told of each write. */
function set(target, property, value) {
  if (target[property] !== value) target[property] = value;
}

function connectionShower(presence, root) {
  let timer = null;

  function say() {
    timer = null;
    const words = CONNECTION_WORDS[presence.connection] ?? "";
    for (const mark of root.querySelectorAll("[data-presence-connection]")) set(mark, "textContent", words);
  }

  return () => {
    root.documentElement.dataset.presenceState = presence.connection;
    if (presence.connection === "open") say();
    // Until the first connection is made or lost, what the server wrote stays.
    else if (presence.connection !== "connecting") timer ??= setTimeout(say, SAY_AFTER);
  };
}

function bindInput(presence, root) {
  const page = root.defaultView;
  for (const type of INPUT) {
    page.addEventListener(type, () => presence.touch(), { capture: true, passive: true });
  }
  root.addEventListener("visibilitychange", () => {
    // Only to come is a sign of life: a screen that locks itself hides the page too.
    if (root.visibilityState !== "visible") return;
    presence.touch();
    presence.wake();
  });
  page.addEventListener("pageshow", () => presence.wake());
  // The network is another one now: a socket of the old one is dead, though it looks open.
  page.addEventListener("online", () => presence.reconnect());
  // A page with an open socket is not kept for the browser's Back.
  page.addEventListener("pagehide", () => presence.pause());
}

function start(script) {
  const url = new URL(script.dataset.socket, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const presence = new Presence(url, Number(script.dataset.idleAfter) || undefined);
  window.whosonline = presence;
  bind(presence);
  presence.connect();
}

const script = globalThis.document?.querySelector("script[data-presence]");
if (script) start(script);

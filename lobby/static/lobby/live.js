/** Keeps the rows near the screen true while people sign up, come and go. */

import { isWithin, overlap, setSpan, show, spanOf } from "./rows.js";
import { onScreen } from "./scroll.js";

/** Rows beyond the screen that are watched too, and how near to their end one may come before others are. */
const MARGIN = 20;
const NEAR = 6;
/** Rows of those online that are watched at once. */
const PAGE = 100;
/** Milliseconds from a scroll to watching what is on the screen then. */
const SETTLE = 150;

/** Watches a part of the list, around what is on the screen. */
export class Live {
  #presence;
  #list;
  #anchor;
  #watched = null;
  #due = null;

  constructor(presence, list, anchor) {
    this.#presence = presence;
    this.#list = list;
    this.#anchor = anchor;
    this.compare = (a, b) => presence.compareKeys(a, b);
    for (const type of ["directory", "page"]) presence.addEventListener(type, () => this.#take(type));
  }

  /** Watch what is on the screen now, whatever was watched before. */
  restart() {
    clearTimeout(this.#due);
    this.#due = this.#watched = null;
    this.#watch();
  }

  /** What is on the screen may be something else in a moment. */
  follow() {
    this.#due ??= setTimeout(() => {
      this.#due = null;
      this.#watch();
    }, SETTLE);
  }

  #watch() {
    const items = [...this.#list.children];
    const { first, last } = onScreen(this.#list);
    if (!this.#covers(items, first - NEAR, last + NEAR)) {
      const { after, until } = spanOf(this.#list);
      const from = first - MARGIN;
      const to = last + MARGIN;
      this.#watched = {
        after: from > 0 ? items[from - 1].dataset.key : after,
        until: to < items.length - 1 ? items[to].dataset.key : until,
      };
      this.#ask();
    }
    for (const item of items) item.toggleAttribute("data-presence-paused", !this.#isWatched(item.dataset.key));
  }

  #ask() {
    const { view, query } = this.#list.dataset;
    const { after, until } = this.#watched;
    if (view === "online") this.#presence.watchPage("site", after, PAGE, query || null);
    else this.#presence.watchDirectory(after, until, query || null);
  }

  /** Whether the rows at these places, and those between, are watched; or are as far as the list goes. */
  #covers(items, first, last) {
    if (!this.#watched) return false;
    const { after, until } = this.#watched;
    const span = spanOf(this.#list);
    const begins = after === span.after || this.#isWatched(items[Math.max(first, 0)]?.dataset.key);
    const ends = until === span.until || this.#isWatched(items[Math.min(last, items.length - 1)]?.dataset.key);
    return begins && ends;
  }

  #isWatched(key) {
    return key !== undefined && isWithin(this.#watched, key, this.compare);
  }

  #take(type) {
    const rows = this.#presence[type];
    const view = type === "page" ? "online" : "everyone";
    if (!rows || !this.#watched || view !== this.#list.dataset.view) return;
    const told = type === "page" ? this.#pageSpan(rows) : this.#presence.state.directory.watch.directory;
    const span = overlap(spanOf(this.#list), told, this.compare);
    this.#anchor.hold(() => show(this.#list, rows, span, this.compare));
    document.getElementById("nobody").hidden = this.#list.childElementCount > 0;
    this.follow();
  }

  /** Return the part that a page of those online tells of. It may tell where the list ends now, or goes on. */
  #pageSpan(rows) {
    const { after } = this.#presence.state.page.watch;
    const until = rows.length < PAGE ? null : rows.at(-1).key;
    const span = spanOf(this.#list);
    const last = this.#list.lastElementChild?.dataset.key;
    if (until === null) setSpan(this.#list, { ...span, until });
    else if (span.until === null && !(this.compare(last ?? "", until) > 0)) setSpan(this.#list, { ...span, until });
    return (this.#watched = { after, until });
  }
}

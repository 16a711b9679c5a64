/** The list without an end: more rows come before one has scrolled to them, and those far off go. */

import { coveredBy, firstOnScreen } from "./anchor.js";
import { addressOf, fetchPage } from "./pages.js";
import { setSpan, spanOf } from "./rows.js";

/** Screens beyond which there should be rows. */
const AHEAD = 1.5;
/** Rows that the page holds at most; those beyond it, farthest from the screen, are released. */
const MOST = 250;
/** Milliseconds until a page that could not be had is asked for again. */
const RETRY = 3_000;

/** Fetches and releases rows of a list as the page is scrolled. */
export class Scroll extends EventTarget {
  #list;
  #anchor;
  #fetching = null;
  #paused = false;

  /** Events: `rows`, when there are others; `scroll`, at most once a frame. */
  constructor(list, anchor) {
    super();
    this.#list = list;
    this.#anchor = anchor;
    let due = false;
    const onScroll = () => {
      if (due) return;
      due = true;
      requestAnimationFrame(() => {
        due = false;
        this.check();
        this.dispatchEvent(new Event("scroll"));
      });
    };
    addEventListener("scroll", onScroll, { passive: true });
    addEventListener("resize", onScroll, { passive: true });
  }

  /** Fetch what is missing near the screen. */
  check() {
    if (this.#fetching || this.#paused || this.#list.dataset.fetching === "all") return;
    const { top, bottom } = this.#list.getBoundingClientRect();
    const { after, until } = spanOf(this.#list);
    const ahead = AHEAD * innerHeight;
    if (until !== null && bottom < innerHeight + ahead) this.#fetch("next", { after: until });
    else if (after !== null && top > coveredBy(this.#list) - ahead) this.#fetch("previous", { before: this.#firstKey() });
  }

  /** Forget what is being fetched: the list shows something else. */
  stop() {
    this.#fetching?.abort();
    this.#fetching = null;
    delete this.#list.dataset.fetching;
  }

  #firstKey() {
    // Whoever comes just after the key before the first row belongs to this page already.
    return this.#list.firstElementChild?.dataset.key ?? this.#list.dataset.after;
  }

  async #fetch(side, where) {
    const fetching = (this.#fetching = new AbortController());
    const { view, query } = this.#list.dataset;
    this.#list.dataset.fetching = side;
    this.#list.setAttribute("aria-busy", "true");
    try {
      const page = await fetchPage(addressOf({ view, query, ...where }), fetching.signal);
      if (fetching !== this.#fetching) return;
      // Else the socket has told what comes next meanwhile: those rows are there, and newer than the page's.
      if (side === "previous" || spanOf(this.#list).until === where.after) {
        this.#anchor.hold(() => this.#add(side, page?.getElementById("users")), side === "previous");
      }
    } catch {
      if (fetching !== this.#fetching) return;
      this.#paused = true;
      setTimeout(() => {
        this.#paused = false;
        this.check();
      }, RETRY);
    }
    this.stop();
    this.#list.removeAttribute("aria-busy");
    this.dispatchEvent(new Event("rows"));
    this.check();
  }

  #add(side, page) {
    if (!page) {
      // Whoever was there has gone meanwhile.
      setSpan(this.#list, { ...spanOf(this.#list), [side === "next" ? "until" : "after"]: null });
      return;
    }
    // Somebody renamed meanwhile may be there already, elsewhere.
    for (const item of page.children) {
      document.getElementById(item.id)?.remove();
      item.setAttribute("data-presence-paused", ""); // until it is near the screen
    }
    const span = spanOf(this.#list);
    if (side === "next") {
      this.#list.append(...page.children);
      span.until = page.dataset.until ?? null;
      span.after = this.#release([...this.#list.children], -1) ?? span.after;
    } else {
      this.#list.prepend(...page.children);
      span.after = page.dataset.after ?? null;
      if (this.#release([...this.#list.children].reverse(), 1) !== null) {
        span.until = this.#list.lastElementChild.dataset.key;
      }
    }
    setSpan(this.#list, span);
  }

  /** Remove what is too much from one end, as far as it is off the screen; return the last key removed, or null. */
  #release(items, direction) {
    let last = null;
    for (const item of items.slice(0, Math.max(0, items.length - MOST))) {
      const { top, bottom } = item.getBoundingClientRect();
      const far = direction < 0 ? bottom < -innerHeight : top > 2 * innerHeight;
      if (!far) break;
      last = item.dataset.key;
      item.remove();
    }
    return last;
  }
}

/** Return which rows are on the screen: the places of the first and the last in the list, which may be none. */
export function onScreen(list) {
  const items = [...list.children];
  const first = Math.max(0, items.indexOf(firstOnScreen(list)));
  const below = items.findIndex((item, place) => place >= first && item.getBoundingClientRect().top >= innerHeight);
  return { first, last: (below < 0 ? items.length : Math.max(below, first + 1)) - 1 };
}

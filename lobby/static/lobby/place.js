/** The address says which part of the list is on the screen, so that a reload, Back and Forward land there. */

import { firstOnScreen } from "./anchor.js";
import { addressOf } from "./pages.js";
import { rowAfter } from "./rows.js";

/** Milliseconds from a scroll to the address that says so. (Safari takes a hundred addresses in half a minute.) */
const SETTLE = 400;

/** Keeps the address in step with the list. */
export class Place {
  #list;
  #due = null;

  constructor(list) {
    this.#list = list;
    history.scrollRestoration = "manual";
    addEventListener("pagehide", () => this.write());
  }

  /** Write the address soon: the page is being scrolled. */
  follow() {
    this.#due ??= setTimeout(() => this.write(), SETTLE);
  }

  /** Write the address now, unless the list is about to show something else. */
  write() {
    clearTimeout(this.#due);
    this.#due = null;
    if (this.#list.dataset.fetching === "all") return;
    const first = firstOnScreen(this.#list);
    const { view, query } = this.#list.dataset;
    const before = first?.previousElementSibling?.dataset.key ?? this.#list.dataset.after;
    const offset = first?.getBoundingClientRect().top;
    history.replaceState({ offset }, "", addressOf({ view, query, after: before }));
  }

  /**
   * Scroll so that the address's first row is where it was when that was written; or, by a link, at the top.
   *
   * @returns {boolean} whether it is there; else the list has not got it, or not enough of what follows
   */
  restore(state = history.state) {
    const address = new URLSearchParams(location.search);
    const first = address.has("before") ? this.#list.firstElementChild : rowAfter(this.#list, address.get("after") ?? "");
    const offset = state?.offset ?? (this.#list.dataset.after && document.querySelector(".tools")?.offsetHeight);
    if (!first || offset === undefined) return Boolean(first);
    const off = () => first.getBoundingClientRect().top - offset;
    scrollBy({ top: off(), behavior: "instant" });
    return Math.abs(off()) < 1 || this.#list.dataset.until === undefined;
  }
}

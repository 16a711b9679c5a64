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

  /** Write the address now. */
  write() {
    clearTimeout(this.#due);
    this.#due = null;
    const first = firstOnScreen(this.#list);
    const { view, query } = this.#list.dataset;
    const before = first?.previousElementSibling?.dataset.key ?? this.#list.dataset.after;
    const offset = first?.getBoundingClientRect().top;
    history.replaceState({ offset }, "", addressOf({ view, query, after: before }));
  }

  /** Scroll so that the address's first row is where it was when that was written; or, by a link, at the top. */
  restore(state = history.state) {
    const first = rowAfter(this.#list, new URLSearchParams(location.search).get("after") ?? "") ?? this.#list.firstElementChild;
    const offset = state?.offset ?? (this.#list.dataset.after && document.querySelector(".tools")?.offsetHeight);
    if (first && offset !== undefined) scrollBy({ top: first.getBoundingClientRect().top - offset, behavior: "instant" });
  }
}

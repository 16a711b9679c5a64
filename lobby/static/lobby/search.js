/** The search, as one types: the list shows what is found, and the address carries it. */

import { addressOf, fetchPage } from "./pages.js";
import { setSpan, spanOf } from "./rows.js";

/** Milliseconds from the last letter to the search. */
const TYPED = 200;

/** Searches without loading the page anew. */
export class Search {
  #list;
  #field;
  #place;
  #shown;
  #due = null;
  #fetching = null;

  /** @param {(state: object?) => void} shown called when the list shows another search; a state came by Back or Forward */
  constructor(list, form, place, shown) {
    this.#list = list;
    this.#field = form.elements.q;
    this.#place = place;
    this.#shown = shown;
    form.querySelector("button").hidden = true;
    this.#field.addEventListener("input", () => {
      clearTimeout(this.#due);
      this.#due = setTimeout(() => this.#search(), TYPED);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#search();
    });
    addEventListener("popstate", (event) => this.#return(event.state));
    this.#search(); // for what was typed before this was loaded
  }

  #search() {
    clearTimeout(this.#due);
    const { view, query: before } = this.#list.dataset;
    const query = this.#field.value.trim().replace(/\s+/g, " ");
    if (query === before && !this.#fetching) return;
    const address = addressOf({ view, query });
    // One step back leads to before the search, however many letters it has.
    if (before || !query || this.#fetching) {
      history.replaceState({}, "", address);
    } else {
      this.#place.write(); // where one will come back to
      history.pushState({}, "", address);
    }
    this.#show(address);
  }

  #return(state) {
    clearTimeout(this.#due);
    const query = new URLSearchParams(location.search).get("q") ?? "";
    this.#field.value = query;
    if (query === this.#list.dataset.query) {
      this.#stop(); // it may be away from a search that was under way
      // Without a state it is a link within the page.
      if (!state || this.#place.restore(state)) return;
    }
    this.#show(location.pathname + location.search, state);
  }

  #stop() {
    this.#fetching?.abort();
    this.#fetching = null;
    this.#list.removeAttribute("aria-busy");
    delete this.#list.dataset.fetching;
  }

  async #show(address, state) {
    this.#fetching?.abort();
    const fetching = (this.#fetching = new AbortController());
    this.#list.setAttribute("aria-busy", "true");
    this.#list.dataset.fetching = "all";
    const page = await fetchPage(address, fetching.signal).catch(() => null);
    if (fetching !== this.#fetching) return; // another search has begun
    if (!page) {
      this.#fetching = null;
      location.assign(address); // the whole page says what is wrong
      return;
    }
    this.#stop();
    this.#take(page);
    this.#shown(state);
  }

  #take(page) {
    const list = page.getElementById("users");
    this.#list.replaceChildren(...list.children);
    this.#list.dataset.query = list.dataset.query;
    setSpan(this.#list, spanOf(list));
    document.title = page.title;
    for (const part of ["#nobody", ".views"]) {
      const here = document.querySelector(part);
      here.replaceChildren(...page.querySelector(part).childNodes);
      here.hidden = page.querySelector(part).hidden;
    }
  }
}

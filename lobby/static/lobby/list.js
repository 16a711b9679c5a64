/** The list of people: without an end, live, and searched as one types. */

import { Anchor } from "./anchor.js";
import { Live } from "./live.js";
import { Place } from "./place.js";
import { Scroll } from "./scroll.js";
import { Search } from "./search.js";
import { followVisibility } from "./visibility.js";

const presence = window.whosonline;
const list = document.getElementById("users");

function start() {
  const anchor = new Anchor(list);
  const scroll = new Scroll(list, anchor);
  const live = new Live(presence, list, anchor);
  const place = new Place(list);

  const form = document.querySelector("form.search");
  if (form) {
    new Search(list, form, place, (state) => {
      scroll.stop();
      if (state?.offset === undefined) scrollTo({ top: 0, behavior: "instant" });
      else place.restore(state);
      place.write(); // a scroll just before may have written the address of what was shown then
      live.restart();
      scroll.check();
    });
  }
  scroll.addEventListener("scroll", () => {
    live.follow();
    place.follow();
  });
  scroll.addEventListener("rows", () => {
    live.follow();
    place.follow();
  });
  const pages = document.querySelector("nav.pages");
  if (pages) pages.hidden = true; // one scrolls instead
  list.classList.add("endless");

  followVisibility(presence, list);
  place.restore();
  live.restart();
  scroll.check();
}

if (presence && list) start();

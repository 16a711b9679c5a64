/** What the reader looks at stays where it is, while rows come and go around it. */

/** Rows beside the one that is to stay, which serve if it goes. */
const NEIGHBOURS = 5;

/** Keeps rows of a list in their place on the screen. */
export class Anchor {
  #list;
  #pointer = null;
  /** Blank pixels before and after the rows, where the page cannot be scrolled far enough. */
  #lead = 0;
  #tail = 0;

  constructor(list) {
    this.#list = list;
    const follow = (event) => {
      this.#pointer = event.pointerType === "touch" || event.type === "pointerleave" ? null : event;
      if ((this.#lead || this.#tail) && !this.#underPointer()) this.#setBlank(0, 0);
    };
    document.addEventListener("pointermove", follow, { passive: true });
    document.documentElement.addEventListener("pointerleave", follow, { passive: true });
  }

  /**
   * Do something to the rows, without moving the one under the pointer, or with the focus, or (once the
   * page is scrolled) the first on the screen.
   *
   * @param {boolean} always whether the first on the screen is to stay even at the top of the page
   */
  hold(change, always = false) {
    const before = this.#candidates(always).map((item) => [item, topOf(item), item.dataset.key]);
    change();
    const kept = before.find(([item, , key]) => item.isConnected && item.dataset.key === key);
    if (kept) this.#moveTo(...kept);
  }

  #candidates(always) {
    const chosen = this.#underPointer() ?? this.#focused();
    if (chosen) return [chosen, ...neighbours(chosen)];
    const first = firstOnScreen(this.#list);
    const scrolled = first && (always || first !== this.#list.firstElementChild);
    return scrolled ? [first, ...neighbours(first)] : [];
  }

  #underPointer() {
    if (!this.#pointer) return null;
    const { clientX, clientY } = this.#pointer;
    const item = document.elementFromPoint(clientX, clientY)?.closest("li");
    return item && this.#list.contains(item) ? item : null;
  }

  #focused() {
    const item = document.activeElement?.closest("li");
    return item && this.#list.contains(item) ? item : null;
  }

  #moveTo(item, top) {
    const off = () => topOf(item) - top;
    if (off() > 0) this.#setBlank(Math.max(0, this.#lead - off()), this.#tail);
    scrollBy({ top: off(), behavior: "instant" });
    // At an end of the page there is nothing to scroll to: blank space makes up for it.
    if (off() < -0.5) this.#setBlank(this.#lead - off(), this.#tail);
    if (off() > 0.5) {
      // A page shorter than the screen has to be made as long first.
      const short = innerHeight - scrollY - document.querySelector("main").getBoundingClientRect().bottom;
      this.#setBlank(this.#lead, this.#tail + off() + Math.max(0, short));
      scrollBy({ top: off(), behavior: "instant" });
    }
  }

  #setBlank(lead, tail) {
    if (lead === this.#lead && tail === this.#tail) return;
    [this.#lead, this.#tail] = [lead, tail];
    Object.assign(this.#list.style, { paddingBlockStart: `${lead}px`, paddingBlockEnd: `${tail}px` });
  }
}

/** Return the first row that is on the screen and not under the bar at its top. */
export function firstOnScreen(list) {
  const covered = coveredBy(list);
  return [...list.children].find((item) => item.getBoundingClientRect().bottom > covered + 1) ?? null;
}

/** Return how far from the top the screen is covered by the bar with the search. */
export function coveredBy(list) {
  const bar = list.ownerDocument.querySelector(".tools");
  return bar ? Math.max(0, bar.getBoundingClientRect().bottom) : 0;
}

function topOf(item) {
  return item.getBoundingClientRect().top;
}

function neighbours(item) {
  const found = [];
  for (let i = 0, next = item.nextElementSibling; next && i < NEIGHBOURS; i++, next = next.nextElementSibling) {
    found.push(next);
  }
  return found;
}

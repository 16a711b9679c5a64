/** Keeps the switch and the own row true when this person goes invisible, or not any more, in another page. */

export function followVisibility(presence, list) {
  const button = document.querySelector(".visibility button");
  const wanted = document.querySelector(".visibility [name=invisible]");
  if (!wanted) return; // a page without the switch
  const show = () => {
    const { invisible } = presence.state;
    button.setAttribute("aria-checked", String(invisible));
    wanted.value = invisible ? "0" : "1";
    list.toggleAttribute("data-invisible", invisible);
    const mine = list.querySelector(".mine .status");
    if (mine) showOwnStatus(mine, list);
  };
  presence.addEventListener("invisible", show);
}

/** The own row says what others don't see; unless one is invisible it shows the status that they do see. */
export function showOwnStatus(mark, list) {
  if ("invisible" in list.dataset) {
    delete mark.dataset.presenceUser;
    mark.dataset.status = "invisible";
    mark.textContent = "Invisible";
  } else {
    mark.dataset.presenceUser = list.dataset.me;
  }
}

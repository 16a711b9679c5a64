/** Keeps the list of users true while people sign up, are renamed and go; statuses are the other module's. */

const presence = window.whosonline;
const list = document.getElementById("users");
const template = document.getElementById("user-row");

/**
 * Make the list hold these rows, in this order.
 *
 * Only rows that are new or renamed are moved: the others are in order already, and to move an element
 * takes the focus and the selection from it.
 */
function show(rows) {
  const held = new Map([...list.children].map((item) => [item.dataset.user, item]));
  const focused = document.activeElement;
  let next = null;
  for (const row of rows.toReversed()) {
    const item = held.get(row.id) ?? makeItem(row.id);
    const inPlace = held.delete(row.id) && item.dataset.key === row.key;
    showNames(item, row);
    if (!inPlace) list.insertBefore(item, next);
    next = item;
  }
  for (const item of held.values()) item.remove();
  if (list.contains(focused) && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

function makeItem(id) {
  const item = template.content.firstElementChild.cloneNode(true);
  const mine = id === list.dataset.me;
  item.id = `user-${id}`;
  item.dataset.user = id;
  item.classList.toggle("mine", mine);
  item.querySelector(".me").hidden = !mine;
  item.querySelector("time").dataset.presenceSeen = id;
  item.querySelector(".status").dataset.presenceUser = id;
  return item;
}

function showNames(item, { key, name }) {
  const shown = item.querySelector(".name");
  if (item.dataset.key === key && shown.textContent === name) return;
  item.dataset.key = key;
  item.querySelector(".avatar").textContent = ([...key][0] ?? "").toUpperCase();
  item.querySelector(".key").textContent = key;
  shown.textContent = name;
  shown.hidden = name === key;
}

if (presence && list) {
  presence.addEventListener("directory", () => show(presence.directory));
  presence.watchDirectory(list.dataset.after, list.dataset.until);
}

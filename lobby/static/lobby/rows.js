/** The rows of the list: made, filled in, and put in order. */

import { showOwnStatus } from "./visibility.js";

const template = document.getElementById("user-row");

/** The ends of a part of the list, which holds what comes after one name key, up to another; null: an open end. */
export const spanOf = (list) => ({ after: list.dataset.after ?? null, until: list.dataset.until ?? null });

/** Write down which part of the list its rows are. */
export function setSpan(list, { after, until }) {
  for (const [end, key] of Object.entries({ after, until })) {
    if (key === null) delete list.dataset[end];
    else list.dataset[end] = key;
  }
}

/** Return the part that two parts have in common. */
export function overlap(a, b, compare) {
  const later = (x, y) => (x === null || (y !== null && compare(x, y) < 0) ? y : x);
  const sooner = (x, y) => (x === null || (y !== null && compare(x, y) > 0) ? y : x);
  return { after: later(a.after, b.after), until: sooner(a.until, b.until) };
}

/** Return whether a key belongs to a part of the list. */
export function isWithin({ after, until }, key, compare) {
  return (after === null || compare(key, after) > 0) && (until === null || compare(key, until) <= 0);
}

/** Return the row that comes next after a key, or the first of all for an empty one; null if the list has not got it. */
export function rowAfter(list, key) {
  if ((list.dataset.after ?? "") === key) return list.firstElementChild;
  return key ? (list.querySelector(`[data-key="${CSS.escape(key)}"]`)?.nextElementSibling ?? null) : null;
}

/**
 * Make the list hold these rows, in this order, in one part of it; the others are left alone.
 *
 * Only rows that are new or renamed are moved: the others are in order already, and to move an element
 * takes the focus and the selection from it.
 */
export function show(list, rows, span, compare) {
  const within = (key) => isWithin(span, key, compare);
  const items = [...list.children];
  const held = new Map(items.filter((item) => within(item.dataset.key)).map((item) => [item.dataset.user, item]));
  const focused = document.activeElement;
  let next = items.find((item) => span.until !== null && compare(item.dataset.key, span.until) > 0) ?? null;
  for (const row of rows.filter(({ key }) => within(key)).toReversed()) {
    const item = held.get(row.id) ?? document.getElementById(`user-${row.id}`) ?? makeItem(row.id, list);
    const inPlace = held.delete(row.id) && item.dataset.key === row.key;
    showRow(item, row);
    if (!inPlace) list.insertBefore(item, next);
    next = item;
  }
  for (const item of held.values()) item.remove();
  if (list.contains(focused) && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

function makeItem(id, list) {
  const item = template.content.firstElementChild.cloneNode(true);
  const mine = id === list.dataset.me;
  item.id = `user-${id}`;
  item.dataset.user = id;
  item.classList.toggle("mine", mine);
  item.querySelector(".me").hidden = !mine;
  item.querySelector("time").dataset.presenceSeen = id;
  const status = item.querySelector(".status");
  status.dataset.presenceUser = id;
  if (mine) showOwnStatus(status, list);
  return item;
}

function showRow(item, { key, name, status }) {
  if (status) showStatus(item.querySelector(".status"), status);
  const shown = item.querySelector(".name");
  if (item.dataset.key === key && shown.textContent === name) return;
  item.dataset.key = key;
  item.querySelector(".avatar").textContent = ([...key][0] ?? "").toUpperCase();
  item.querySelector(".key").textContent = key;
  shown.textContent = name;
  shown.hidden = name === key;
}

/** A row of those online comes with its status; later ones are told to the mark. */
function showStatus(mark, status) {
  if (mark.dataset.status === status) return;
  mark.dataset.status = status;
  mark.textContent = status[0].toUpperCase() + status.slice(1);
}

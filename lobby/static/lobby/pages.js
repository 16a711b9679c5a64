/** Pages of the list, as the server writes them. */

/** Return the address of a page of a view, with a search. */
export function addressOf({ view, query, after = null, before = null }) {
  const parts = { view: view === "everyone" ? "" : view, q: query, after, before };
  const asked = new URLSearchParams(Object.entries(parts).filter(([, part]) => part));
  return asked.size ? `${location.pathname}?${asked}` : location.pathname;
}

/**
 * Fetch a page; return its document, or null where the address is beyond the ends of the list.
 *
 * Rejects if there is none: the server is away, or the visitor has been logged out.
 */
export async function fetchPage(address, signal) {
  const answer = await fetch(address, { signal });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (!answer.ok || !page.getElementById("users")) throw new Error(`${address}: ${answer.status}`);
  return answer.redirected ? null : page;
}

/** Where the server is: next to this script, on the page's own host. */

const SCRIPT = import.meta.url;

/**
 * @typedef {object} AddressOptions
 * @property {string | URL} [url] the whole address (ws, wss, http, https, or relative to the page)
 * @property {string} [path] another path on the page's host
 * @property {number | string} [port] another port of the page's host, such as 8101
 */

/**
 * Return the address of the websocket; its scheme is wss where the page's is https.
 * @param {AddressOptions} options
 * @param {{ href: string, protocol: string } | undefined} page the page's location, if there is a page
 * @returns {string}
 */
export function address({ url, path, port }, page, script = SCRIPT) {
  const here = page && /^https?:$/.test(page.protocol) ? page.href : script;
  const found = new URL(url ?? path ?? new URL("../../ws", script).pathname, here);
  if (port !== undefined) found.port = String(port);
  found.protocol = found.protocol.replace(/^http/, "ws");
  found.hash = "";
  if (!/^wss?:$/.test(found.protocol)) throw new TypeError(`no websocket address: ${found.href}`);
  return found.href;
}

// @ts-check
/// <reference lib="webworker" />
/**
 * Keeps a static site for when there is no network, each version in a cache of its own. What it answers isolates the
 * page from other sites, which gives it threads on hosts that send no such headers.
 */
const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const VERSION = new URL(location.href).searchParams.get("v") ?? "";
const PREFIX = `edgesdk ${worker.registration.scope} `;

worker.addEventListener("install", (event) => event.waitUntil(keep().then(() => worker.skipWaiting())));
worker.addEventListener("activate", (event) => event.waitUntil(tidy().then(() => worker.clients.claim())));
worker.addEventListener("message", (event) => {
  const names = /** @type {string[]} */ (event.data);
  event.waitUntil(add(names).then(() => event.source?.postMessage("kept"), () => event.source?.postMessage("not kept")));
});
worker.addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && event.request.url.startsWith(worker.registration.scope)) event.respondWith(answer(event.request));
});

async function keep() {
  const site = await (await fetch("site.json", { cache: "no-store" })).json();
  const models = site.models.map((/** @type {{url: string}} */ model) => model.url);
  await add(["./", "site.json", "litertjs/index.js", "litertjs/wasm-utils.js", ...site.cached, ...models]);
}

/** @param {string[]} names */
async function add(names) {
  const cache = await caches.open(PREFIX + VERSION);
  const found = await Promise.all(names.map((name) => cache.match(name)));
  await cache.addAll(names.filter((_, index) => !found[index]).map((name) => new Request(name, { cache: "no-cache" })));
}

async function tidy() {
  const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== PREFIX + VERSION);
  await Promise.all(old.map((name) => caches.delete(name)));
}

/** @param {Request} request */
async function answer(request) {
  // Then everything comes from the host, and its page brings a worker of its own; until that works this one isolates it.
  if (request.mode === "navigate" && await isOld()) await caches.delete(PREFIX + VERSION);
  const cache = await caches.open(PREFIX + VERSION);
  const kept = await cache.match(request, { ignoreSearch: true });
  return isolated(kept ?? await fetch(request).catch(() => Response.error()));
}

/** Whether the host has another version by now: parts of two would not fit together. */
async function isOld() {
  try {
    const { version } = await (await fetch("site.json", { cache: "no-store" })).json();
    return Boolean(version) && version !== VERSION;
  } catch {
    return false; // no network, or somebody else answers
  }
}

/** @param {Response} response */
function isolated(response) {
  if (response.type === "error" || response.type === "opaqueredirect") return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

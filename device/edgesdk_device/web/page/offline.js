// @ts-check
/** A static site is kept by a service worker, so that it works without a network from the first visit on. */
import { addProof } from "./show.js";

const RUNTIME = "litertjs/";
const THREADED = ["litert_wasm_threaded_internal.js", "litert_wasm_threaded_internal.wasm"];

/** @param {import("./workstation.js").Site} site */
export async function keepOffline(site) {
  if (!("serviceWorker" in navigator)) return;
  const line = addProof("keeping it for when there is no network");
  try {
    const { installing, waiting, active } = await navigator.serviceWorker.register(`sw.js?v=${site.version}`, { scope: "./" });
    const worker = /** @type {ServiceWorker} */ (installing ?? waiting ?? active);
    await activated(worker); // one of an older version may answer until then
    const kept = new Promise((resolve, reject) => navigator.serviceWorker.addEventListener("message", ({ data }) =>
      data === "kept" ? resolve(undefined) : reject(new Error("no room")), { once: true }));
    navigator.serviceWorker.startMessages();
    worker.postMessage(usedBuilds());
    await kept;
    line(true, "works without a network from now on");
  } catch {
    line(false, "this browser keeps nothing: the page needs the network");
  }
}

/** @param {ServiceWorker} worker */
function activated(worker) {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (worker.state === "activated") resolve(undefined);
      if (worker.state === "redundant") reject(new Error("not installed"));
    };
    worker.addEventListener("statechange", look);
    look();
  });
}

/** The runtime's builds that this browser loaded, and the one that it will load once the page is isolated. */
function usedBuilds() {
  const folder = new URL(RUNTIME, document.baseURI).href;
  const used = performance.getEntriesByType("resource").map(({ name }) => name.split("?")[0])
    .filter((name) => name.startsWith(folder)).map((name) => name.slice(folder.length));
  const next = used.some((name) => name.includes("compat")) ? [] : THREADED;
  return [...new Set([...used, ...next])].map((name) => RUNTIME + name);
}

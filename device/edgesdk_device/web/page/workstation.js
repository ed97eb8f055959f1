// @ts-check
/** What goes back to the workstation that serves this page; a static site has none. */
import { Fault } from "./fault.js";

/** @typedef {{backends: string[], threads: number[], quick: boolean, sustained_minutes: number}} Task */
/** @typedef {{name: string, url: string, size_bytes: number}} Listed */
/** @typedef {{edgesdk: string, litertjs: string, models: Listed[], version?: string,
 *   workstation: {collect: boolean, task: Task|null}|null, live?: boolean}} Site live: a camera's stream is sent to this
 *   page */

/** @returns {Promise<Site>} what this site holds */
export async function readSite() {
  const answer = await get("site.json");
  return answer.json();
}

/** @param {string} url */
export async function get(url) {
  let answer;
  try {
    answer = await fetch(new URL(url, document.baseURI));
  } catch {
    throw new Fault("The workstation does not answer: is edgesdk still running, and the phone on its network?");
  }
  if (!answer.ok) throw new Fault(`The server refused ${url} (${answer.status}): open the newest address.`);
  return answer;
}

/**
 * Send something; a Fault says why it was not taken.
 * @param {string} path
 * @param {BodyInit} body
 */
export async function post(path, body) {
  let answer;
  try {
    answer = await fetch(new URL(path, document.baseURI), { method: "POST", body });
  } catch {
    throw new Fault("The workstation does not answer: is edgesdk still running?");
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Fault(said.error ?? `The workstation refused it (${answer.status}).`);
  return said;
}

/** What the browser says of this phone. */
export async function browserFacts() {
  const hints = /** @type {any} */ (navigator);
  let gpu = "";
  try {
    const adapter = await hints.gpu?.requestAdapter();
    const { vendor = "", architecture = "", description = "" } = adapter?.info ?? {};
    gpu = description || `${vendor} ${architecture}`.trim();
  } catch {
    // said below: no GPU
  }
  return { agent: navigator.userAgent.slice(0, 300), cores: navigator.hardwareConcurrency || 1,
    memory_gb: hints.deviceMemory ?? 0, gpu: gpu.slice(0, 200), isolated: Boolean(globalThis.crossOriginIsolated) };
}

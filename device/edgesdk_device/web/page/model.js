// @ts-check
/** A .tflite with its contract, read and checked as edgesdk/modelfile.py does it. */
import { Fault } from "./fault.js";
import { readGraph, takeBytes } from "./graph.js";

/** @typedef {{height: number, width: number, channels: number, color: "rgb"|"gray"|"latent",
 *   resize: "crop"|"squash"|"letterbox", interpolation: "linear"|"nearest", mean: number, std: number}} ImageInput */
/** @typedef {{generator: string, seed: number, png: string, output: string, stride?: number}} Golden stride is 1
 *   in older files, which do not say it */
/** @typedef {{name: string, sha256: string, input: ImageInput, golden: Golden[], tolerance: Record<string, number>,
 *   output: {kind: string, labels: string[]}, recipe: {precision: string}, source: {trained: boolean},
 *   codec: CodecPart|null, format: number}} Contract */
/** @typedef {import("./graph.js").TensorFacts} TensorFacts */
/** @typedef {{id: string, half: "encoder"|"decoder", block: number, margin: number, lowest_gain: number, parity: string,
 *   whole: boolean, background: string, tables: import("./entropy.js").TableFields}} CodecPart */
/** What runs: the checked file's content, with uint8 where that has int8 at its ends.
 * @typedef {{content: Uint8Array, contract: Contract, input: TensorFacts, output: TensorFacts, operations: number,
 *   sizeBytes: number}} Model */

const FORMAT = 1;
const CONTRACT_FILE = "edgesdk.json";
const STORED = 0;

/**
 * Read a file and check it byte for byte against its contract.
 * @param {Uint8Array} bytes
 * @returns {Promise<Model>}
 */
export async function readModel(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 8 || latin(bytes.subarray(4, 8)) !== "TFL3") throw new Fault("This file is no TFLite model.");
  let contract, content, facts;
  try {
    const member = findContract(bytes, view);
    contract = /** @type {Contract} */ (JSON.parse(new TextDecoder().decode(member.data)));
    content = bytes.subarray(0, member.start);
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("The file is damaged in its appended contract: copy it again.");
  }
  if (contract.format > FORMAT) {
    throw new Fault(`The contract has format ${contract.format}, this page reads up to ${FORMAT}: upgrade edgesdk.`);
  }
  const sha256 = hex(await crypto.subtle.digest("SHA-256", /** @type {BufferSource} */ (content)));
  if (sha256 !== contract.sha256) {
    throw new Fault(`The file was changed since it was made: its sha256 is ${sha256.slice(0, 12)}…, its contract ` +
      `says ${String(contract.sha256).slice(0, 12)}…; copy it again.`);
  }
  try {
    const graph = readGraph(view);
    facts = { ...takeBytes(content, graph), operations: graph.operations };
  } catch (error) {
    throw error instanceof Fault ? error : new Fault("The file's graph cannot be read: copy it again.");
  }
  return { contract, ...facts, sizeBytes: bytes.length };
}

/**
 * The contract's bytes, and where the appended files begin.
 * @param {Uint8Array} bytes
 * @param {DataView} view
 */
function findContract(bytes, view) {
  let end = bytes.length - 22;
  while (end >= 0 && end > bytes.length - 22 - 65536 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0 || view.getUint32(end, true) !== 0x06054b50) {
    throw new Fault("The file carries no edgesdk contract, so nothing says how to feed it: make it with edgesdk convert.");
  }
  let entry = view.getUint32(end + 16, true), start = bytes.length, data = null;
  for (let count = view.getUint16(end + 10, true); count > 0; count--) {
    if (view.getUint32(entry, true) !== 0x02014b50) throw new RangeError("no central directory");
    const nameLength = view.getUint16(entry + 28, true);
    const name = latin(bytes.subarray(entry + 46, entry + 46 + nameLength));
    const local = view.getUint32(entry + 42, true), size = view.getUint32(entry + 20, true);
    start = Math.min(start, local);
    if (name === CONTRACT_FILE) {
      if (view.getUint16(entry + 10, true) !== STORED) throw new RangeError("compressed");
      const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
      data = bytes.subarray(from, from + size);
    }
    entry += 46 + nameLength + view.getUint16(entry + 30, true) + view.getUint16(entry + 32, true);
  }
  if (data === null) throw new Fault("The file carries no edgesdk contract: make it with edgesdk convert.");
  return { data, start };
}

/** @param {Uint8Array} bytes */
function latin(bytes) {
  return String.fromCharCode(...bytes);
}

/** @param {ArrayBuffer} digest */
function hex(digest) {
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

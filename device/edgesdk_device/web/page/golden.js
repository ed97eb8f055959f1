// @ts-check
/** The contract's golden inputs, made again as edgesdk/contract.py makes them, and their replay. */
import { fitFrame } from "./preprocess.js";

/** @typedef {import("./model.js").Golden} Golden */
/** @typedef {import("./model.js").ImageInput} ImageInput */
/** @typedef {import("./runtime.js").Session} Session */
/** @typedef {{ok: boolean, difference: number, tolerance: number, inputs: number}} Verified difference is NaN where an
 *   output was */

/**
 * Replay all golden inputs and compare.
 * @param {Session} session
 * @returns {Promise<Verified>}
 */
export async function verify(session) {
  const { contract } = session.model;
  let largest = 0;
  for (const golden of contract.golden) {
    const output = await session.infer(await goldenPixels(golden, contract.input));
    const expected = floats(golden.output);
    const given = output.filter((_, index) => index % (golden.stride ?? 1) === 0);
    if (given.length !== expected.length) return { ok: false, difference: NaN, tolerance: 0, inputs: contract.golden.length };
    expected.forEach((value, index) => {
      const difference = Math.abs(value - given[index]);
      if (difference > largest || Number.isNaN(difference)) largest = difference; // which stays, once it is no number
    });
  }
  const tolerance = contract.tolerance[session.family] ?? 0;
  return { ok: contract.golden.length > 0 && largest <= tolerance, difference: largest, tolerance, inputs: contract.golden.length };
}

/**
 * What the model is fed for a golden input, before the value table.
 * @param {Golden} golden
 * @param {ImageInput} input
 * @returns {Promise<Uint8Array>}
 */
export async function goldenPixels(golden, input) {
  const entries = input.height * input.width * input.channels;
  if (golden.generator === "code") {
    const blocks = await hashed(golden.seed, 24);
    return Uint8Array.from({ length: entries }, (_, index) => {
      const small = blocks[index % 768] ^ blocks[Math.floor(index / 768) % 768];
      return small < 32 ? 125 + small % 7 : 128;
    });
  }
  if (golden.generator === "normal") {
    const bytes = await hashed(golden.seed, Math.ceil(entries / 8));
    return Uint8Array.from({ length: entries }, (_, index) => {
      const sum = bytes[4 * index] + bytes[4 * index + 1] + bytes[4 * index + 2] + bytes[4 * index + 3];
      return Math.min(255, Math.max(0, 128 + Math.floor((sum - 510) * 32 / 148)));
    });
  }
  const frame = golden.generator === "png" ? await decodePng(golden.png) : await blocksFrame(golden.seed, input.height, input.width);
  return fitFrame(frame, input);
}

/**
 * A picture of 16x16 blocks whose bytes, blue first, are SHA-256 of the seed.
 * @type {(seed: number, height: number, width: number) => Promise<import("./preprocess.js").Frame>}
 */
export async function blocksFrame(seed, height, width) {
  const blocks = await hashed(seed, 24), data = new Uint8Array(4 * height * width);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 4) {
      const from = 3 * (16 * Math.floor(y * 16 / height) + Math.floor(x * 16 / width));
      data[to] = blocks[from + 2];
      data[to + 1] = blocks[from + 1];
      data[to + 2] = blocks[from];
      data[to + 3] = 255;
    }
  }
  return { data, height, width };
}

/** @param {Verified} verified in words: by how much it differs */
export function distance({ difference, tolerance }) {
  const found = Number.isNaN(difference) ? "its outputs are no numbers" : `difference ${Number(difference.toPrecision(2))}`;
  return `${found}, allowed ${Number(tolerance.toPrecision(2))}`;
}

/** @type {(seed: number, count: number) => Promise<Uint8Array>} `count` digests, one after another */
async function hashed(seed, count) {
  const encoder = new TextEncoder(), bytes = new Uint8Array(32 * count);
  const digests = await Promise.all(Array.from({ length: count }, (_, index) =>
    crypto.subtle.digest("SHA-256", encoder.encode(`edgesdk:${seed}:${index}`))));
  digests.forEach((digest, index) => bytes.set(new Uint8Array(digest), 32 * index));
  return bytes;
}

/** @param {string} base64 @returns {Promise<ImageData>} */
export async function decodePng(base64) {
  const blob = new Blob([/** @type {BlobPart} */ (raw(base64))], { type: "image/png" });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

/** @param {string} base64 */
export function raw(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** @param {string} base64 of little-endian float32 */
function floats(base64) {
  const bytes = raw(base64), view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, index) => view.getFloat32(4 * index, true));
}

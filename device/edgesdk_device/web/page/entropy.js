// @ts-check
/**
 * A codec's bytes to its code, as edgesdk/codecs/context.py expects and edgesdk_device/entropy.py reads them: whole
 * numbers only, so that a phone decodes what a workstation does.
 */
import { Fault } from "./fault.js";
import { raw } from "./golden.js";

/** @typedef {{channels: number, predicted: number, levels: number, weights: string, frequencies: string}} TableFields */
/** Base is [levels, channels, 11], here and around [channels, channels]; starts and counts are [56, 16], tokens
 * [56, 4096]; a group is its first channel and the one after its last.
 * @typedef {{channels: number, predicted: number, levels: number, base: Int32Array, here: Int32Array,
 *   around: Int32Array, beside: Int32Array, counts: Uint16Array, starts: Uint16Array, tokens: Uint8Array,
 *   groups: [number, number][]}} Tables */
/** Magnitudes, flat, and where they are not zero. @typedef {{sizes: Uint8Array, places: Int32Array}} Known */

const MOST_GROUPS = 24, LARGEST = 31, BINS = 56, SKIPPED = 8, SHARES = 15;
const STRIDES = [16, 8, 4, 2, 1], STAGES = 11;
const TOKENS = 16, TOTAL = 4096, LOW = 65536, MOST_LANES = 1024, CHECK_BITS = 16;
const TOKEN_BASE = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 22, 38, 70, 134, 0];
const TOKEN_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 9];
const MOST_TABLE_BYTES = 64 * 2 ** 20;

/** @param {TableFields} fields of the contract @returns {Promise<Tables>} */
export async function readTables({ channels, predicted, levels, weights, frequencies }) {
  const damaged = new Fault("The codec's tables are damaged: copy the file again.");
  let numbers, counts;
  try {
    numbers = new Int32Array(await inflate(weights));
    counts = new Uint16Array(await inflate(frequencies));
  } catch {
    throw damaged;
  }
  const first = levels * channels * STAGES, square = channels * channels;
  if (numbers.length !== first + 2 * square + channels || counts.length !== BINS * TOKENS || predicted > channels) throw damaged;
  const starts = new Uint16Array(BINS * TOKENS), tokens = new Uint8Array(BINS * TOTAL);
  for (let bin = 0; bin < BINS; bin++) {
    let start = 0;
    for (let token = 0; token < TOKENS; token++) {
      starts[TOKENS * bin + token] = start;
      tokens.fill(token, TOTAL * bin + start, TOTAL * bin + (start += counts[TOKENS * bin + token]));
    }
    if (start !== TOTAL) throw damaged;
  }
  const size = Math.max(1, Math.ceil((channels - predicted) / MOST_GROUPS));
  /** @type {[number, number][]} */
  const groups = [[0, predicted]];
  for (let start = predicted; start < channels; start += size) groups.push([start, Math.min(start + size, channels)]);
  return { channels, predicted, levels, groups, counts, starts, tokens, base: numbers.subarray(0, first),
    here: numbers.subarray(first, first + square), around: numbers.subarray(first + square, first + 2 * square),
    beside: numbers.subarray(first + 2 * square) };
}

/** @param {string} base64 of zlib's bytes @returns {Promise<ArrayBuffer>} */
async function inflate(base64) {
  const stream = new Blob([/** @type {BlobPart} */ (raw(base64))]).stream().pipeThrough(new DecompressionStream("deflate"));
  const pieces = [], from = stream.getReader();
  for (let size = 0, next = await from.read(); !next.done; next = await from.read()) {
    if ((size += next.value.length) > MOST_TABLE_BYTES) throw new RangeError("too large");
    pieces.push(next.value);
  }
  return new Blob(/** @type {BlobPart[]} */ (pieces)).arrayBuffer();
}

/**
 * @param {Uint8Array} data of one band; nothing may follow in it
 * @param {number} height
 * @param {number} width
 * @param {Tables} tables
 * @param {number} level which expectations to begin with
 * @returns {{code: Int8Array, low: number}} [height, width, channels], and the 16 bits of the check that came along
 */
export function decodeCode(data, height, width, tables, level) {
  const { channels, predicted, groups, beside } = tables, n = height * width;
  const base = tables.base.subarray(level * channels * STAGES, (level + 1) * channels * STAGES);
  const used = (data[0] & 15) * Math.ceil(groups.length / SHARES), coder = new Coder(data, tables);
  const planes = new Int16Array(channels * n), order = chessboard(height, width), half = (n + 1) >> 1;
  const here = /** @type {Known[]} */ ([]), around = /** @type {Known[]} */ ([]);
  for (const [start, stop] of groups.slice(0, used)) {
    const sizes = Array.from({ length: stop - start }, () => new Uint8Array(n));
    if (start === 0) {
      for (const stage of stagesOf(height, width)) predict(stage);
    } else {
      const expected = sizes.map((_, index) => expect(start + index, start));
      for (const odd of [0, 1]) {
        coder.restart();
        for (let channel = start; channel < stop; channel++) {
          const mine = expected[channel - start], own = sizes[channel - start], most = odd ? n : half;
          const least = base[channel * STAGES + odd], weight = odd ? beside[channel] : 0;
          for (let index = odd ? half : 0; index < most; index++) {
            const place = order[index];
            const bin = binOf(mine[place] + least + (odd ? weight * fourOf(own, place, height, width) : 0));
            if (bin < SKIPPED) continue;
            const size = coder.size(bin);
            planes[channel * n + place] = size;
            own[place] = Math.min(size, LARGEST);
          }
        }
        coder.check();
      }
    }
    for (const own of sizes) {
      here.push(known(own));
      around.push(known(aroundOf(here[here.length - 1], height, width)));
    }

    /** @param {Stage} stage of the predicted channels: what is decoded is the difference from the known neighbours */
    function predict({ index, places, neighbours }) {
      coder.restart();
      for (let channel = start; channel < stop; channel++) {
        const plane = planes.subarray(channel * n, (channel + 1) * n), own = sizes[channel];
        places.forEach((place, which) => {
          const { mean, spread } = meanOf(plane, neighbours, 4 * which);
          const residual = coder.signed(binOf(base[channel * STAGES + index] + beside[channel] * spread));
          plane[place] = mean + residual;
          own[place] = Math.min(Math.abs(residual), LARGEST);
        });
      }
      coder.check();
    }
  }
  const low = coder.finish(function* () {
    for (let channel = predicted; channel < channels; channel++) {
      for (const place of order) if (planes[channel * n + place]) yield channel * n + place;
    }
  }(), planes);
  const code = new Int8Array(n * channels);
  for (let channel = 0; channel < channels; channel++) {
    for (let place = 0; place < n; place++) {
      const value = planes[channel * n + place];
      if (value < -128 || value > 127) throw new Fault("The stream holds a value that no code has: it is damaged.");
      code[place * channels + channel] = value;
    }
  }
  return { code, low };

  /** @param {number} channel @param {number} start channels before it are known @returns {Int32Array} */
  function expect(channel, start) {
    const sum = new Int32Array(n);
    for (let other = 0; other < start; other++) {
      for (const [weights, { sizes, places }] of /** @type {const} */ ([[tables.here, here[other]], [tables.around, around[other]]])) {
        const weight = weights[channel * channels + other];
        if (weight) for (let index = 0; index < places.length; index++) sum[places[index]] += weight * sizes[places[index]];
      }
    }
    return sum;
  }
}

/** Many rANS states side by side, and the bits that they moved and left open, which come from both ends of the data. */
class Coder {
  /** @param {Uint8Array} data @param {Tables} tables */
  constructor(data, tables) {
    const lanes = 1 << (data[0] >> 4), start = 1 + 2 * lanes;
    if (lanes > MOST_LANES || data.length < Math.max(3, start)) throw cutShort();
    this.tables = tables;
    this.states = Int32Array.from({ length: lanes }, (_, lane) => LOW + (data[1 + 2 * lane] << 8 | data[2 + 2 * lane]));
    this.bits = 8 * (data.length - start);
    this.data = new Uint8Array(data.length - start + 4); // zeros after the end
    this.data.set(data.subarray(start));
    this.front = this.back = this.lane = 0;
  }

  /** A pass begins with the first state. */
  restart() {
    this.lane = 0;
  }

  /** After a pass: whether its bits were there. */
  check() {
    if (this.front > this.bits || this.back > this.bits) throw cutShort();
  }

  /** @param {number} bin */
  token(bin) {
    const { tokens, starts, counts } = this.tables, state = this.states[this.lane], slot = state & (TOTAL - 1);
    const token = tokens[TOTAL * bin + slot], entry = TOKENS * bin + token;
    const next = counts[entry] * (state >> 12) + slot - starts[entry], move = Math.clz32(next) - 15;
    const at = this.front >> 3, word = this.data[at] << 16 | this.data[at + 1] << 8 | this.data[at + 2];
    this.states[this.lane] = next << move | word >> (24 - (this.front & 7) - move) & ((1 << move) - 1);
    this.front += move;
    if (++this.lane === this.states.length) this.lane = 0;
    return token;
  }

  /** @param {number} bin @returns {number} a magnitude */
  size(bin) {
    const token = this.token(bin);
    return token < 8 ? token : TOKEN_BASE[token] + this.read(TOKEN_EXTRA[token]);
  }

  /** @param {number} bin @returns {number} a value with its sign */
  signed(bin) {
    const token = this.token(bin);
    if (token === 0) return 0;
    const open = this.read(TOKEN_EXTRA[token] + 1), size = TOKEN_BASE[token] + (open >> 1);
    return open & 1 ? -size : size;
  }

  /** @param {number} count of bits from the back, the last one first */
  read(count) {
    let value = 0;
    for (; count > 0; count--, this.back++) {
      if (this.back >= this.bits) throw cutShort();
      value = value << 1 | this.data[(this.bits - 1 - this.back) >> 3] >> (this.back & 7) & 1;
    }
    return value;
  }

  /**
   * The check, then the signs, first from what the states carry, then from the back.
   * @param {Iterable<number>} there where values are not zero
   * @param {Int16Array} planes whose values get their signs
   * @returns {number} the check
   */
  finish(there, planes) {
    const inside = 16 * this.states.length;
    let count = 0, low = 0;
    const next = () => {
      const bit = count < inside ? (this.states[count >> 4] - LOW) >> (15 - (count & 15)) & 1 : this.read(1);
      count++;
      return bit;
    };
    while (count < CHECK_BITS) low = low << 1 | next();
    for (const place of there) if (next()) planes[place] = -planes[place];
    let odd = 0;
    while (count < inside) odd |= next();
    const gap = this.bits - this.front - this.back;
    if (odd || gap < 0 || gap > 7 || this.read(gap)) {
      throw new Fault("The stream's bits do not come out even: it is damaged or cut short.");
    }
    return low;
  }
}

/** Places that a pass over predicted channels fills, and of each the positions of four neighbours, two that face each
 * other and the other two, -1 where there is none. @typedef {{index: number, places: number[], neighbours: number[]}} Stage */

/** @param {number} height @param {number} width @returns {Stage[]} coarse to fine */
function stagesOf(height, width) {
  const first = 2 * STRIDES[0];
  const stages = [stage(0, first, (down, right) => !((down | right) % first), [])];
  STRIDES.forEach((s, number) => {
    stages.push(stage(1 + 2 * number, s, (down, right) => Boolean(down / s & right / s & 1), [[-s, -s], [s, s], [-s, s], [s, -s]]));
    stages.push(stage(2 + 2 * number, s, (down, right) => Boolean((down / s ^ right / s) & 1), [[-s, 0], [s, 0], [0, -s], [0, s]]));
  });
  return stages;

  /** @type {(index: number, step: number, takes: (down: number, right: number) => boolean, steps: number[][]) => Stage} */
  function stage(index, step, takes, steps) {
    const places = [], neighbours = [];
    for (let row = 0; row < height; row += step) {
      for (let column = 0; column < width; column += step) {
        if (!takes(row, column)) continue;
        places.push(row * width + column);
        for (let which = 0; which < 4; which++) {
          const [down, right] = steps[which] ?? [NaN, NaN], y = row + down, x = column + right;
          neighbours.push(y >= 0 && y < height && x >= 0 && x < width ? y * width + x : -1);
        }
      }
    }
    return { index, places, neighbours };
  }
}

/** @param {Int16Array} plane @param {number[]} neighbours @param {number} at its first one of four */
function meanOf(plane, neighbours, at) {
  let count = 0, sum = 0, spread = 0;
  for (let which = at; which < at + 4; which++) {
    if (neighbours[which] < 0) continue;
    count++;
    sum += plane[neighbours[which]];
  }
  if (!count) return { mean: 0, spread: 0 };
  let mean = Math.floor((2 * sum + count) / (2 * count));
  if (count === 4) {
    const [one, two, three, four] = [0, 1, 2, 3].map((which) => plane[neighbours[at + which]]);
    const first = Math.abs(one - two), second = Math.abs(three - four);
    if (2 * first < second) mean = (one + two + 1) >> 1;
    if (2 * second < first) mean = (three + four + 1) >> 1;
  }
  for (let which = at; which < at + 4; which++) if (neighbours[which] >= 0) spread += Math.abs(plane[neighbours[which]] - mean);
  return { mean, spread: Math.min(Math.floor(4 * spread / count), 1023) };
}

/** @param {number} expected in 4096ths @returns {number} the table of its exponent and two leading bits */
function binOf(expected) {
  if (expected < 4) return 0;
  const exponent = 29 - Math.clz32(expected);
  return Math.min(4 * exponent + (expected >> exponent & 3), BINS - 1);
}

/** @param {number} height @param {number} width @returns {Int32Array} places, the even squares before the odd ones */
function chessboard(height, width) {
  const order = new Int32Array(height * width);
  for (let place = 0, even = 0, odd = (order.length + 1) >> 1; place < order.length; place++) {
    if ((Math.floor(place / width) + place % width) % 2) order[odd++] = place;
    else order[even++] = place;
  }
  return order;
}

/** @param {Uint8Array} sizes @returns {Known} */
function known(sizes) {
  const places = new Int32Array(sizes.length);
  let count = 0;
  for (let place = 0; place < sizes.length; place++) if (sizes[place]) places[count++] = place;
  return { sizes, places: places.subarray(0, count) };
}

/** @type {(sizes: Uint8Array, place: number, height: number, width: number) => number} the four beside a place */
function fourOf(sizes, place, height, width) {
  const column = place % width;
  return (place >= width ? sizes[place - width] : 0) + (place < (height - 1) * width ? sizes[place + width] : 0) +
    (column ? sizes[place - 1] : 0) + (column < width - 1 ? sizes[place + 1] : 0);
}

/** @param {Known} known @param {number} height @param {number} width @returns {Uint8Array} the eight around each place */
function aroundOf({ sizes, places }, height, width) {
  const sums = new Uint8Array(sizes.length);
  for (const place of places) {
    const row = Math.floor(place / width), column = place - row * width;
    for (let y = Math.max(0, row - 1); y <= Math.min(height - 1, row + 1); y++) {
      for (let x = Math.max(0, column - 1); x <= Math.min(width - 1, column + 1); x++) sums[y * width + x] += sizes[place];
    }
    sums[place] -= sizes[place];
  }
  return sums;
}

function cutShort() {
  return new Fault("The stream ends before its picture does: it is damaged or cut short.");
}

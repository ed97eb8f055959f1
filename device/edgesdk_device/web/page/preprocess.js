// @ts-check
/**
 * From a frame to the model's input, as edgesdk/preprocess.py does it with OpenCV: its fixed-point arithmetic is done
 * again here, so that the bytes are the same.
 */

/** @typedef {import("./model.js").ImageInput} ImageInput */
/** @typedef {import("./model.js").TensorFacts} TensorFacts */
/** @typedef {{data: Uint8Array|Uint8ClampedArray, height: number, width: number}} Frame RGBA, row by row */
/** A part of an array of pixels: pixel (y, x) begins at `offset + y * stride + x * step`.
 * @typedef {{data: Uint8Array|Uint8ClampedArray, offset: number, stride: number, step: number, height: number,
 *   width: number}} Pixels */

const BITS = 11; // of OpenCV's interpolation weights
const ONE = 1 << BITS;

/**
 * Bring a frame to the model's size and colours.
 * @param {Frame} frame
 * @param {ImageInput} input
 * @returns {Uint8Array} [height, width, channels]
 */
export function fitFrame(frame, input) {
  /** @type {Pixels} */
  let pixels = { data: frame.data, height: frame.height, width: frame.width, offset: 0, stride: 4 * frame.width, step: 4 };
  const { height, width } = input;
  const rgb = new Uint8Array(height * width * 3);
  if (input.resize === "letterbox") {
    const scale = Math.min(height / frame.height, width / frame.width);
    const inner = [Math.max(1, roundEven(frame.height * scale)), Math.max(1, roundEven(frame.width * scale))];
    const top = (height - inner[0]) >> 1, left = (width - inner[1]) >> 1;
    rgb.fill(roundEven(input.mean));
    resize(pixels, inner[0], inner[1], input.interpolation, rgb, 3 * (top * width + left), 3 * width);
  } else {
    if (input.resize === "crop") pixels = centerCrop(pixels, height, width);
    resize(pixels, height, width, input.interpolation, rgb, 0, 3 * width);
  }
  return input.color === "gray" ? toGray(rgb) : rgb;
}

/**
 * What each byte becomes in the input tensor; null where every byte stays as it is.
 * @param {ImageInput} input
 * @param {TensorFacts} tensor
 * @returns {Float32Array|Uint8Array|null}
 */
export function valueTable(input, tensor) {
  const real = Float32Array.from({ length: 256 }, (_, byte) => (byte - input.mean) / input.std);
  if (tensor.scale === 0) return real;
  const bytes = Uint8Array.from(real, (value) =>
    Math.min(255, Math.max(0, roundEven(Math.fround(value / tensor.scale)) + tensor.zeroPoint)));
  return bytes.every((value, byte) => value === byte) ? null : bytes;
}

/**
 * Bytes -> the tensor's values through `valueTable`.
 * @param {Uint8Array} pixels
 * @param {Float32Array|Uint8Array|null} table
 */
export function toTensor(pixels, table) {
  if (table === null) return pixels;
  const values = table instanceof Float32Array ? new Float32Array(pixels.length) : new Uint8Array(pixels.length);
  for (let index = 0; index < pixels.length; index++) values[index] = table[pixels[index]];
  return values;
}

/** @param {number} value to the nearest whole number, halves to the even one, as Python and OpenCV round */
export function roundEven(value) {
  const floor = Math.floor(value), rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** @type {(pixels: Pixels, height: number, width: number) => Pixels} */
function centerCrop(pixels, height, width) {
  let keepHeight = pixels.height, keepWidth = pixels.width;
  if (pixels.height * width > pixels.width * height) {
    keepHeight = Math.max(1, roundEven(pixels.width * height / width));
  } else {
    keepWidth = Math.max(1, roundEven(pixels.height * width / height));
  }
  const top = (pixels.height - keepHeight) >> 1, left = (pixels.width - keepWidth) >> 1;
  const offset = pixels.offset + top * pixels.stride + left * pixels.step;
  return { ...pixels, offset, height: keepHeight, width: keepWidth };
}

/**
 * Resize into `out`, three bytes a pixel, rows `stride` apart.
 * @type {(pixels: Pixels, height: number, width: number, interpolation: string, out: Uint8Array, at: number,
 *   stride: number) => void}
 */
function resize(pixels, height, width, interpolation, out, at, stride) {
  if (interpolation === "nearest") return pick(pixels, height, width, out, at, stride);
  const factor = Math.min(Math.floor(pixels.height / height), Math.floor(pixels.width / width)) >> 1;
  if (factor >= 2) pixels = average(pixels, factor);
  const rows = pixels.height / height, columns = pixels.width / width;
  // Bilinear gives the middle of an odd number of pixels its whole weight, and OpenCV takes the mean of exactly 2x2.
  if (rows % 2 === 1 && columns % 2 === 1) {
    const middle = pixels.offset + (rows - 1) / 2 * pixels.stride + (columns - 1) / 2 * pixels.step;
    return pick({ ...pixels, offset: middle }, height, width, out, at, stride);
  }
  if (rows === 2 && columns === 2) return pick(average(pixels, 2), height, width, out, at, stride);
  return interpolate(pixels, height, width, out, at, stride);
}

/** @type {(pixels: Pixels, height: number, width: number, out: Uint8Array, at: number, stride: number) => void} one
 *  source pixel each, the first of those that become one */
function pick(pixels, height, width, out, at, stride) {
  const { data } = pixels, rows = 1 / (height / pixels.height), columns = 1 / (width / pixels.width); // rounded as OpenCV does
  const steps = Int32Array.from({ length: width }, (_, x) => pixels.step * Math.floor(x * columns));
  for (let y = 0; y < height; y++, at += stride) {
    const row = pixels.offset + pixels.stride * Math.floor(y * rows);
    for (let x = 0, to = at; x < width; x++, to += 3) {
      const from = row + steps[x];
      out[to] = data[from];
      out[to + 1] = data[from + 1];
      out[to + 2] = data[from + 2];
    }
  }
}

/** @type {(pixels: Pixels, factor: number) => Pixels} the means of whole blocks */
function average(pixels, factor) {
  const height = Math.floor(pixels.height / factor), width = Math.floor(pixels.width / factor);
  const { data, step } = pixels, out = new Uint8Array(height * width * 3);
  const share = Math.fround(1 / (factor * factor));
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const corner = pixels.offset + y * factor * pixels.stride + x * factor * step;
      for (let channel = 0; channel < 3; channel++, to++) {
        let sum = 0;
        for (let row = 0; row < factor; row++) {
          const from = corner + row * pixels.stride + channel;
          for (let column = 0; column < factor; column++) sum += data[from + column * step];
        }
        out[to] = factor === 2 ? (sum + 2) >> 2 : roundEven(Math.fround(sum * share));
      }
    }
  }
  return { data: out, offset: 0, stride: 3 * width, step: 3, height, width };
}

/** @type {(pixels: Pixels, height: number, width: number, out: Uint8Array, at: number, stride: number) => void} */
function interpolate(pixels, height, width, out, at, stride) {
  const { data } = pixels;
  const across = weights(pixels.width, width, true), down = weights(pixels.height, height, false);
  for (let y = 0; y < height; y++, at += stride) {
    const upper = pixels.offset + down.first[y] * pixels.stride, lower = pixels.offset + down.second[y] * pixels.stride;
    const above = down.left[y], below = down.right[y];
    for (let x = 0, to = at; x < width; x++) {
      const left = across.first[x] * pixels.step, right = across.second[x] * pixels.step;
      const before = across.left[x], after = across.right[x];
      for (let channel = 0; channel < 3; channel++, to++) {
        const top = data[upper + left + channel] * before + data[upper + right + channel] * after;
        const bottom = data[lower + left + channel] * before + data[lower + right + channel] * after;
        out[to] = (((above * (top >> 4)) >> 16) + ((below * (bottom >> 4)) >> 16) + 2) >> 2;
      }
    }
  }
}

/** @type {(source: number, target: number, clamped: boolean) => {first: Int32Array, second: Int32Array, left: Int32Array, right: Int32Array}}
 *   of each target pixel its two source pixels and their weights, which sum to `ONE`; at the borders OpenCV gives a column
 *   its whole weight (`clamped`), and two parts of it to a row, which rounds otherwise */
function weights(source, target, clamped) {
  const found = { first: new Int32Array(target), second: new Int32Array(target), left: new Int32Array(target), right: new Int32Array(target) };
  for (let index = 0; index < target; index++) {
    const place = Math.fround((index + 0.5) * (1 / (target / source)) - 0.5);
    let from = Math.floor(place), rest = Math.fround(place - from);
    if (clamped && from < 0) [from, rest] = [0, 0];
    if (clamped && from >= source - 1) [from, rest] = [source - 1, 0];
    found.first[index] = Math.min(Math.max(from, 0), source - 1);
    found.second[index] = Math.min(Math.max(from + 1, 0), source - 1);
    found.left[index] = roundEven(Math.fround(Math.fround(1 - rest) * ONE));
    found.right[index] = roundEven(Math.fround(rest * ONE));
  }
  return found;
}

/** @type {(rgb: Uint8Array) => Uint8Array} as OpenCV weighs the colours, in 15 bits */
export function toGray(rgb) {
  const gray = new Uint8Array(rgb.length / 3);
  for (let to = 0, from = 0; to < gray.length; to++, from += 3) {
    gray[to] = (9798 * rgb[from] + 19235 * rgb[from + 1] + 3735 * rgb[from + 2] + 16384) >> 15;
  }
  return gray;
}

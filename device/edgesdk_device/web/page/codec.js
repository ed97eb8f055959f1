// @ts-check
/** A codec's streams to pictures, as edgesdk_device/codec.py, session.py and tiles.py do it. */
import { Fault } from "./fault.js";
import { decodePng } from "./golden.js";
import { decodeCode, readTables } from "./entropy.js";
import { roundEven, toGray } from "./preprocess.js";

/** @typedef {import("./model.js").CodecPart} CodecPart */
/** @typedef {import("./runtime.js").Session} Session */
/** @typedef {{codec: string, quality: number, height: number, width: number, session: boolean, grey: boolean, end: number}} Head
 *   end: where the check begins */
/** RGBA; a thumbnail has fewer pixels than its picture, whose size is the shown one.
 * @typedef {{data: Uint8ClampedArray, height: number, width: number, shownHeight: number, shownWidth: number,
 *   invokeMs: number}} Picture */

const VERSION = 1, SESSION = 1, GREY = 2, CHECK_BYTES = 2;
const BAND = 12288; // places that are coded together at most
const LONGEST_SIDE = 2 ** 20, MOST_PIXELS = 2 ** 24; // what a phone can hold; edgesdk itself reads more
const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? byte >>> 1 ^ 0xedb88320 : byte >>> 1;
  return byte;
});

/** @param {import("./model.js").Model} model whether it is the half that makes pictures */
export function decodes(model) {
  return model.contract.codec?.half === "decoder";
}

/** @param {import("./model.js").Model} model @returns {Promise<Codec>} */
export async function openCodec(model) {
  const part = /** @type {CodecPart} */ (model.contract.codec);
  const [tables, background] = await Promise.all([readTables(part.tables), part.background ? decodePng(part.background) : null]);
  return new Codec(part, tables, background);
}

/** What a decoder's contract says, unpacked. */
export class Codec {
  /**
   * @param {CodecPart} part
   * @param {import("./entropy.js").Tables} tables
   * @param {ImageData|null} background
   */
  constructor(part, tables, background) {
    this.part = part;
    this.tables = tables;
    this.background = background;
  }

  /**
   * The pictures of a stream: one of `edgesdk compress`, or all of a session that `edgesdk run --compress` wrote.
   * @param {Session} session of this codec's decoder
   * @param {Uint8Array} data
   * @returns {AsyncGenerator<Picture>}
   */
  async *pictures(session, data) {
    const head = this.head(data), { end } = head;
    const body = end + CHECK_BYTES, given = data[end] << 8 | data[end + 1];
    if (!head.session) {
      const { code, low } = this.unpack(session, data.subarray(body), head);
      if (checksum(code, checksum(data.subarray(0, end))) !== (given << 16 | low) >>> 0) {
        throw new Fault("The stream's checksum does not match what it decodes to: it is damaged.");
      }
      yield await this.picture(session, code, head);
      return;
    }
    const start = data.subarray(0, body), { background } = this;
    if (checksum(data.subarray(0, end)) >>> 16 !== given) throw new Fault("The session's start is damaged: its checksum does not match.");
    if (background && (background.height !== head.height || background.width !== head.width)) {
      throw new Fault("The session's frames are of another size than the camera's background.");
    }
    for (let at = body; at < data.length;) {
      const [length, from] = readVarint(data, at);
      at = from + length;
      if (at > data.length || !length) throw new Fault("The session is cut short in its last message.");
      const { code, low } = this.unpack(session, data.subarray(from + 1, at), head);
      if ((checksum(code, checksum(start)) & 0xffffff) !== (data[from] << 16 | low)) {
        throw new Fault("The message's checksum does not match: it is damaged or of another session.");
      }
      const picture = await this.picture(session, code, head);
      if (background) restore(picture.data, background.data);
      yield picture;
    }
  }

  /** @param {Uint8Array} data @returns {Head} of a stream of this codec */
  head(data) {
    if (data[0] !== 0xe5 || data[1] !== 0x43) throw new Fault("This is no picture of edgesdk compress, and no session of edgesdk run --compress.");
    if (data.length < 12) throw new Fault("The stream is cut short.");
    const version = data[2] >> 4, flags = data[2] & 15, session = Boolean(flags & SESSION);
    if (version !== VERSION || flags > SESSION + GREY) throw new Fault(`The stream has format version ${version}, this page reads ${VERSION}: upgrade edgesdk.`);
    const codec = Array.from(data.subarray(3, 7), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const [height, next] = readVarint(data, 8), [width, last] = readVarint(data, next);
    const quality = data[7], end = last + (session ? 2 : 0);
    if (quality < 1 || quality > 100 || !height || !width || Math.max(height, width) >= LONGEST_SIDE || data.length < end + CHECK_BYTES) {
      throw new Fault("The stream's head is damaged or cut short.");
    }
    if (height * width > MOST_PIXELS) throw new Fault(`The picture has ${height}x${width} pixels, this page shows up to ${MOST_PIXELS >> 20} million: use edgesdk decompress.`);
    if (codec !== this.part.id) throw new Fault(`The stream was made by the codec ${codec}, this one is ${this.part.id}: open it with the codec that made it.`);
    return { codec, quality, height, width, session, grey: Boolean(flags & GREY), end };
  }

  /** @param {Session} session @param {Uint8Array} data after the head @param {Head} head */
  unpack(session, data, { height, width, quality }) {
    const { block, whole } = this.part, { tables } = this, [, tall, broad] = session.model.input.shape;
    const rows = whole ? tall : Math.ceil(height / block), columns = whole ? broad : Math.ceil(width / block);
    const level = Math.floor((2 * (quality - 1) * (tables.levels - 1) + 99) / 198), most = Math.max(1, Math.floor(BAND / columns));
    const code = new Int8Array(rows * columns * tables.channels);
    for (let top = 0; ; top += most) {
      const last = top + most >= rows;
      const [length, from] = last ? [data.length, 0] : readVarint(data, 0);
      const band = decodeCode(data.subarray(from, from + length), Math.min(most, rows - top), columns, tables, level);
      code.set(band.code, top * columns * tables.channels);
      if (last) return { code, low: band.low };
      if (band.low) throw new Fault("The stream's bands are not in order: it is damaged.");
      data = data.subarray(from + length);
    }
  }

  /**
   * A code through the network, tile by tile: mirrored at its borders, cut with margins, laid together.
   * @param {Session} session
   * @param {Int8Array} code
   * @param {Head} head
   * @returns {Promise<Picture>}
   */
  async picture(session, code, head) {
    const { block, margin, whole, lowest_gain } = this.part, { channels } = this.tables;
    const { input: { shape: [, tall, broad] }, output: { shape: [, outHeight, outWidth] } } = session.model;
    const [height, width] = whole ? [outHeight, outWidth] : [head.height, head.width];
    const rows = Math.ceil(height / block), columns = Math.ceil(width / block);
    const gain = Math.exp(Math.log(lowest_gain) * (100 - head.quality) / 99);
    const bytes = Uint8Array.from({ length: 256 }, (_, byte) => Math.min(255, Math.max(0, roundEven((byte - 128) / gain) + 128)));
    const rgb = new Uint8Array(3 * height * width), cut = new Uint8Array(tall * broad * channels);
    let invokeMs = 0;
    const [down, right] = [1, 2].map((digit) => Int8Array.from(this.part.parity, (parity) => Number(parity) & digit ? -1 : 1));
    for (let top = 0; top < rows; top += outHeight / block) {
      for (let left = 0; left < columns; left += outWidth / block) {
        for (let y = 0, to = 0; y < tall; y++) {
          const row = mirror(top - margin + y, rows);
          for (let x = 0; x < broad; x++) {
            const column = mirror(left - margin + x, columns), from = (row.at * columns + column.at) * channels;
            for (let channel = 0; channel < channels; channel++, to++) {
              let value = code[from + channel];
              if (row.over || column.over) value = Math.max(value, -127) * (row.over ? down[channel] : 1) * (column.over ? right[channel] : 1);
              cut[to] = value + 128;
            }
          }
        }
        const tensor = session.tensor(cut), begun = performance.now();
        const out = await session.run(tensor).then((output) => session.raw(output)).finally(() => tensor.delete());
        invokeMs += performance.now() - begun;
        const first = left * block, wide = 3 * Math.min(outWidth, width - first);
        for (let y = 0; y < outHeight && top * block + y < height; y++) {
          for (let x = 0, from = 3 * y * outWidth, to = 3 * ((top * block + y) * width + first); x < wide; x++) rgb[to + x] = bytes[out[from + x]];
        }
      }
    }
    const data = new Uint8ClampedArray(4 * height * width), grey = head.grey ? toGray(rgb) : null;
    for (let pixel = 0; pixel < height * width; pixel++) {
      for (let color = 0; color < 3; color++) data[4 * pixel + color] = grey ? grey[pixel] : rgb[3 * pixel + color];
      data[4 * pixel + 3] = 255;
    }
    return { data, height, width, shownHeight: head.height, shownWidth: head.width, invokeMs };
  }
}

/** @param {number} place @param {number} size @returns {{at: number, over: boolean}} the border itself repeated */
function mirror(place, size) {
  const inside = (place % (2 * size) + 2 * size) % (2 * size);
  return { at: Math.min(inside, 2 * size - 1 - inside), over: Boolean(Math.floor(place / size) & 1) };
}

/** @param {Uint8ClampedArray} picture half the difference, around 128 @param {Uint8ClampedArray} background */
function restore(picture, background) {
  for (let at = 0; at < picture.length; at++) if (at % 4 < 3) picture[at] = 2 * picture[at] - 256 + background[at];
}

/** @param {Uint8Array} data @param {number} start @returns {[number, number]} the number, and where it ends */
function readVarint(data, start) {
  let value = 0;
  for (let count = 0; count < 4 && start + count < data.length; count++) {
    const byte = data[start + count];
    value |= (byte & 0x7f) << 7 * count;
    if (byte >= 0x80) continue;
    if (count && !byte) break;
    return [value, start + count + 1];
  }
  throw new Fault("The stream holds an impossible number: it is damaged or cut short.");
}

/** @param {Uint8Array|Int8Array} data @param {number} before CRC-32 of what stands before it */
function checksum(data, before = 0) {
  let crc = ~before;
  for (let at = 0; at < data.length; at++) crc = CRC[(crc ^ data[at]) & 255] ^ crc >>> 8;
  return ~crc >>> 0;
}

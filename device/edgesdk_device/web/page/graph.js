// @ts-check
/** The graph in a .tflite's flatbuffer (TFLite schema version 3): what it takes and gives, and one that takes bytes. */
import { Fault } from "./fault.js";

/** @typedef {{shape: number[], type: number, scale: number, zeroPoint: number}} TensorFacts */
/** @typedef {{input: TensorFacts, output: TensorFacts, operations: number}} Facts */

/** The schema's TensorType: those that LiteRT.js takes, and one that it does not. */
export const FLOAT32 = 0, UINT8 = 3, INT8 = 9;
const QUANTIZE = 114; // the schema's BuiltinOperator
const TO_BYTE = 128; // of an int8 value

/** @param {DataView} view */
function reader(view) {
  /** @type {(table: number, slot: number) => number} position of a field, 0 where it is not there */
  const field = (table, slot) => {
    const vtable = table - view.getInt32(table, true);
    const offset = 4 + 2 * slot < view.getUint16(vtable, true) ? view.getUint16(vtable + 4 + 2 * slot, true) : 0;
    return offset && table + offset;
  };
  /** @type {(at: number) => number} */
  const follow = (at) => at + view.getUint32(at, true);
  /** @type {(table: number, slot: number) => {at: number, length: number}} */
  const vector = (table, slot) => {
    const at = field(table, slot);
    return at ? { at: follow(at) + 4, length: view.getUint32(follow(at), true) } : { at: 0, length: 0 };
  };
  const graph = follow(vector(follow(0), 2).at);
  /** @type {(slot: number) => number} which tensor is the only input (1) or output (2) */
  const only = (slot) => {
    const listed = vector(graph, slot);
    if (listed.length !== 1) throw new Fault(`The model has ${listed.length} inputs or outputs, this page runs one of each.`);
    return view.getInt32(listed.at, true);
  };
  /** @type {(index: number) => number} */
  const tensor = (index) => follow(vector(graph, 0).at + 4 * index);
  return { field, follow, vector, graph, only, tensor };
}

/**
 * The input, the output and the number of operations.
 * @param {DataView} view
 * @returns {Facts}
 */
export function readGraph(view) {
  const { field, follow, vector, graph, only, tensor } = reader(view);
  /** @type {(slot: number) => TensorFacts} */
  const facts = (slot) => {
    const table = tensor(only(slot)), shape = vector(table, 0), type = field(table, 1), quantization = field(table, 4);
    const scale = quantization ? vector(follow(quantization), 2) : { at: 0, length: 0 };
    const zero = quantization ? vector(follow(quantization), 3) : { at: 0, length: 0 };
    return {
      shape: Array.from({ length: shape.length }, (_, index) => view.getInt32(shape.at + 4 * index, true)),
      type: type ? view.getInt8(type) : FLOAT32,
      scale: scale.length ? view.getFloat32(scale.at, true) : 0,
      zeroPoint: zero.length ? Number(view.getBigInt64(zero.at, true)) : 0,
    };
  };
  return { input: facts(1), output: facts(2), operations: vector(graph, 3).length };
}

/**
 * The same graph with uint8 where it begins or ends with int8: one more operation there moves the values by 128, which
 * loses nothing. What is new stands before the file's own bytes, to which its offsets lead.
 * @param {Uint8Array} content
 * @param {Facts} facts of it
 * @returns {{content: Uint8Array, input: TensorFacts, output: TensorFacts}}
 */
export function takeBytes(content, { input, output }) {
  if (input.type !== INT8 && output.type !== INT8) return { content, input, output };
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const { field, follow, vector, graph, only, tensor } = reader(view), model = follow(0);
  /** @type {(table: number, slot: number) => Node[]} */
  const listed = (table, slot) => {
    const { at, length } = vector(table, slot);
    return Array.from({ length }, (_, index) => ({ old: follow(at + 4 * index) }));
  };
  const tensors = listed(graph, 0), codes = listed(model, 1), operators = listed(graph, 3);
  /** @type {(slot: number, facts: TensorFacts, name: string) => number} the tensor that takes the place of one */
  const replace = (slot, { type, zeroPoint }, name) => {
    const index = only(slot);
    if (type !== INT8) return index;
    const old = tensor(index), added = tensors.length;
    const scale = { old: vector(follow(field(old, 4)), 2).at - 4 };
    const quantization = { table: [, , scale, { longs: [zeroPoint + TO_BYTE] }] };
    tensors.push({ table: [{ old: vector(old, 0).at - 4 }, UINT8, 0, { text: name }, quantization] });
    const [from, to] = slot === 1 ? [added, index] : [index, added];
    const operator = { table: [codes.length, { list: [from] }, { list: [to] }] };
    if (slot === 1) operators.unshift(operator);
    else operators.push(operator);
    return added;
  };
  const first = replace(1, input, "in"), last = replace(2, output, "out");
  codes.push({ table: [QUANTIZE, , 1, QUANTIZE] });
  const subgraph = { table: [{ list: tensors }, { list: [first] }, { list: [last] }, { list: operators }] };
  const front = write({ table: [3, { list: codes }, { list: [subgraph] }, , { old: vector(model, 4).at - 4 }] });
  const whole = new Uint8Array(front.byteLength + content.length);
  whole.set(front);
  whole.set(content, front.byteLength);
  /** @type {(facts: TensorFacts) => TensorFacts} */
  const bytes = (facts) => facts.type === INT8 ? { ...facts, type: UINT8, zeroPoint: facts.zeroPoint + TO_BYTE } : facts;
  return { content: whole, input: bytes(input), output: bytes(output) };
}

/** A piece of a flatbuffer: a table's fields of four bytes each, a vector, whole numbers of 64 bits, three letters at
 * most, or a position in the old one.
 * @typedef {{old?: number, table?: (number|Node|undefined)[], list?: (number|Node)[], longs?: number[], text?: string}} Node */

/** @param {Node} root @returns {Uint8Array} a flatbuffer that goes on in the one that comes after it */
function write(root) {
  const words = [0, 0x334c4654], /** @type {[number, number][]} */ old = [];
  /** @type {[number, Node][]} words with an offset, and what they lead to: always later ones, as unsigned offsets need */
  const open = [[0, root]];
  const put = (/** @type {number|Node} */ value) => {
    if (typeof value === "object") open.push([words.length, value]);
    words.push(typeof value === "object" ? 0 : value);
  };
  for (const [place, node] of open) {
    if (node.old !== undefined) {
      old.push([place, node.old]);
      continue;
    }
    if (node.table) {
      let offset = 4;
      const fields = Array.from(node.table, (value) => value === undefined ? 0 : (offset += 4) - 4);
      const halves = [4 + 2 * fields.length, offset, ...fields, 0], begin = words.length;
      for (let half = 0; half + 1 < halves.length; half += 2) words.push(halves[half] | halves[half + 1] << 16);
      words[place] = 4 * (words.length - place);
      words.push(4 * (words.length - begin));
      for (const value of node.table) if (value !== undefined) put(value);
      continue;
    }
    if (node.longs && words.length % 2 === 0) words.push(0); // after the length stands what is 8 bytes wide
    words[place] = 4 * (words.length - place);
    words.push((node.list ?? node.longs ?? node.text ?? []).length);
    for (const value of node.list ?? []) put(value);
    for (const value of node.longs ?? []) words.push(value, value < 0 ? -1 : 0);
    if (node.text) words.push([...node.text].reduce((word, letter, index) => word | letter.charCodeAt(0) << 8 * index, 0));
  }
  while (words.length % 4) words.push(0); // the old one's tensors stay aligned
  for (const [place, position] of old) words[place] = 4 * (words.length - place) + position;
  return new Uint8Array(Int32Array.from(words).buffer);
}

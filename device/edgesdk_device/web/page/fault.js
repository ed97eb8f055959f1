// @ts-check

/** What went wrong, in a sentence for whoever holds the phone. */
export class Fault extends Error {}

/**
 * A sentence for anything that was thrown.
 * @param {unknown} thrown
 */
export function sentence(thrown) {
  if (thrown instanceof Fault) return thrown.message;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return `This browser stopped with “${text.slice(0, 200)}”: reload the page, or try another browser.`;
}

/** `text` cut to at most `bytes` of UTF-8, at a character's end. */
export function clipped(text: string, bytes: number): string {
  const encoded = new TextEncoder().encode(text.slice(0, bytes));
  if (encoded.length <= bytes) return text.slice(0, bytes);
  let end = bytes;
  while (((encoded[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return new TextDecoder().decode(encoded.subarray(0, end));
}

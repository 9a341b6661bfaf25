// Parts of a `multipart/form-data` answer.
//
// `Response.formData()` does the same by way of files that the browser keeps elsewhere, which takes
// most of the time until the first picture of a large radiograph.

// Return the bytes of each part by its name.
export function partsOf(buffer, contentType) {
  const bytes = new Uint8Array(buffer);
  const separator = encode(`--${/boundary=([\w-]+)/.exec(contentType)[1]}`);
  const parts = new Map();
  let start = find(bytes, separator, 0) + separator.length + 2;
  for (let end; (end = find(bytes, separator, start)) >= 0; start = end + separator.length + 2) {
    const body = find(bytes, BLANK_LINE, start) + BLANK_LINE.length;
    const head = new TextDecoder().decode(bytes.subarray(start, body));
    parts.set(/name="([^"]*)"/.exec(head)[1], bytes.subarray(body, end - 2));
  }
  return parts;
}

export const text = (bytes) => new TextDecoder().decode(bytes);

const encode = (string) => new TextEncoder().encode(string);
const BLANK_LINE = encode("\r\n\r\n");

// Return where a sequence of bytes begins, or -1.
export function find(bytes, wanted, from) {
  for (let at = bytes.indexOf(wanted[0], from); at >= 0; at = bytes.indexOf(wanted[0], at + 1))
    if (wanted.every((byte, index) => bytes[at + index] === byte)) return at;
  return -1;
}

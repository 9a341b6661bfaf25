// All DICOM objects of an answer, of type multipart/related, as one zip file.

import { find } from "./multipart.js";

const NAMES = {
  "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
  "1.2.840.10008.5.1.4.1.1.66.7": "segmentation",
  "1.2.840.10008.5.1.4.1.1.88.33": "report",
  "1.2.840.10008.5.1.4.1.1.88.34": "report",
  "1.2.840.10008.5.1.4.1.1.11.1": "presentation-state",
  "1.2.840.10008.5.1.4.1.1.7": "overlay",
};
const META_BYTES = 1024; // within which the file meta information states the SOP class
const BLANK_LINE = new TextEncoder().encode("\r\n\r\n");

// Return the files of a body as [name, bytes]; a name has the kind of the object and a number.
export function dicomFiles(buffer, contentType) {
  const bytes = new Uint8Array(buffer);
  const separator = new TextEncoder().encode(`--${/boundary="?([\w-]+)/.exec(contentType)[1]}`);
  const files = [];
  let start = find(bytes, separator, 0) + separator.length;
  for (let end; (end = find(bytes, separator, start)) >= 0; start = end + separator.length) {
    const file = bytes.subarray(find(bytes, BLANK_LINE, start) + BLANK_LINE.length, end - 2);
    files.push([`${files.length + 1}-${kindOf(file)}.dcm`, file]);
  }
  return files;
}

// Return the kind of an object: that of the longest SOP class UID which its head contains.
function kindOf(file) {
  const head = String.fromCharCode(...file.subarray(0, META_BYTES));
  const classes = Object.keys(NAMES).filter((uid) => new RegExp(`${uid.replaceAll(".", "\\.")}(?![\\d.])`).test(head));
  return NAMES[classes[0]] || "object";
}

// Return a zip file in which the files are stored as they are (APPNOTE.TXT 4.3).
export function zip(files) {
  const local = [], central = [];
  let offset = 0;
  for (const [name, data] of files) {
    const path = new TextEncoder().encode(name);
    // Version 2.0, no flags, stored; time 0, 1 January 1980: a file does not say when it was saved.
    const common = [[20, 2], [0, 2], [0, 2], [0, 2], [0x21, 2], [crc32(data), 4], [data.length, 4], [data.length, 4], [path.length, 2], [0, 2]];
    local.push(packed([[0x04034b50, 4], ...common]), path, data);
    central.push(packed([[0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]]), path);
    offset += 30 + path.length + data.length;
  }
  const size = central.reduce((sum, part) => sum + part.length, 0);
  const end = packed([[0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [size, 4], [offset, 4], [0, 2]]);
  return new Blob([...local, ...central, end], { type: "application/zip" });
}

// Return unsigned numbers of 2 or 4 bytes, little-endian.
function packed(fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [, size]) => sum + size, 0)));
  let at = 0;
  for (const [value, size] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(data) {
  let crc = 0xffffffff;
  for (const byte of data) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

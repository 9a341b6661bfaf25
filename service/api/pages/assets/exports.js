// Results to take along: files, and the same request for a terminal or a program.

import { signedIn } from "./api.js";

const FILES = { "image/png": "chest.png", "image/jpeg": "chest.jpg" };

function typeOf(file) {
  return FILES[file.type] ? file.type : "application/dicom";
}

// Return the command that asks what the page asked. It names no file of the user and holds no key.
export function curl(file, phrases, method) {
  const type = typeOf(file);
  const authorization = signedIn() ? ` -H "Authorization: Bearer $G2D_KEY"` : "";
  return `curl --data-binary @${FILES[type] || "chest.dcm"} -H 'Content-Type: ${type}'${authorization} '${address(phrases, method)}'`;
}

function address(phrases, method) {
  const url = new URL("v1/analyze", document.baseURI);
  for (const phrase of phrases) url.searchParams.append("phrase", phrase);
  if (method && phrases.length) url.searchParams.set("method", method);
  return url.href.replaceAll("'", "%27");
}

// Return a program that does the same with the client of the package.
export function python(file, phrases, method) {
  const base = new URL(".", document.baseURI).href.replace(/\/$/, "");
  const key = signedIn() ? ', os.environ["G2D_KEY"]' : "";
  const given = phrases.length ? `, phrases=${JSON.stringify(phrases)}` : "";
  const chosen = method && phrases.length ? `, method=${JSON.stringify(method)}` : "";
  return `${signedIn() ? "import os\n\n" : ""}import g2d

client = g2d.Client(${JSON.stringify(base)}${key})
result = client.analyze(${JSON.stringify(FILES[typeOf(file)] || "chest.dcm")}${given}${chosen})
print(result.to_json())
`;
}

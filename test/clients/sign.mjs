// Usage: node sign.mjs mail.crt mail.key https://schedule.example.com/events [event.json]
//
// Sends GET, or POST with the file, signed with the certificate's key (RFC 9421, RFC 9530):
// a copy of the request is refused, and so is a changed one. The private key is not sent.
import { X509Certificate, constants, createHash, createPrivateKey, randomUUID, sign } from "node:crypto";
import { readFileSync } from "node:fs";

function signature(key, text) {
  switch (key.asymmetricKeyType) {
    case "ed25519":
      return sign(null, text, key);
    case "ec": { // r and s side by side
      const hash = key.asymmetricKeyDetails.namedCurve === "prime256v1" ? "sha256" : "sha384";
      return sign(hash, text, { key, dsaEncoding: "ieee-p1363" });
    }
    default: // RSA
      return sign("sha512", text, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 });
  }
}

const [certificateFile, keyFile, address, file] = process.argv.slice(2);
const certificate = new X509Certificate(readFileSync(certificateFile));
const key = createPrivateKey(readFileSync(keyFile));
const fields = { "x-ssl-auth": certificate.raw.toString("base64") };
const body = file ? readFileSync(file) : undefined;
if (file) {
  fields["content-digest"] = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
  fields["content-type"] = "application/json";
}
const method = file ? "POST" : "GET";
const url = new URL(address);

const covered = {
  "@method": method,
  "@authority": url.host.replace(/:(80|443)$/, ""),
  "@path": url.pathname,
  "@query": url.search || "?",
  ...fields,
};
const names = Object.keys(covered).map((name) => `"${name}"`).join(" ");
const now = Math.floor(Date.now() / 1000);
const keyid = createHash("sha256").update(certificate.publicKey.export({ type: "spki", format: "der" })).digest("hex");
const parameters = `(${names});created=${now};expires=${now + 60};nonce="${randomUUID()}";keyid="${keyid}";tag="certgate"`;
const base = Object.entries(covered).map(([name, value]) => `"${name}": ${value}\n`).join("") + `"@signature-params": ${parameters}`;

const headers = {
  ...fields,
  "signature-input": `sig1=${parameters}`,
  "signature": `sig1=:${signature(key, Buffer.from(base)).toString("base64")}:`,
};
const response = await fetch(url, { method, headers, body, redirect: "manual" }); // another URL needs another signature
console.log(response.status);
console.log(await response.text());
process.exitCode = response.ok ? 0 : 1;

// Usage: node fetch.mjs mail.crt https://schedule.example.com/events
//
// The header is the base64 of the certificate's DER, in one line. X509Certificate
// reads only the certificate from the file, so a private key in it is not sent.
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";

const [file, url] = process.argv.slice(2);
const certificate = new X509Certificate(readFileSync(file));
const event = { start_time: "2013-08-01T16:20:00+00:00", end_time: "2013-08-01T18:20:00+00:00", name: "Meeting" };

const response = await fetch(url, {
  method: "POST",
  headers: { "X-SSL-Auth": certificate.raw.toString("base64"), "Content-Type": "application/json" },
  body: JSON.stringify({ event }),
  redirect: "manual", // a redirect would send the certificate to another server
});
console.log(response.status);
console.log(await response.text());
process.exitCode = response.ok ? 0 : 1;

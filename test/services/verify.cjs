// Usage: verify.cjs JWKS_URL ISSUER AUDIENCE, then requests as JSON, one in each line of standard input
const { createHash } = require("node:crypto");
const { createInterface } = require("node:readline");
const { createRemoteJWKSet, jwtVerify } = require("jose");

const [url, issuer, audience] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(url));

async function clientOf({ assertions, bound, method, target, body }) {
  if (assertions.length !== 1) throw new Error("not one header line");
  // A key of the set is used with its own algorithm only.
  const { payload } = await jwtVerify(assertions[0], keys, {
    algorithms: ["EdDSA", "ES256"], typ: "certgate+jwt", issuer, audience, clockTolerance: 5, maxTokenAge: 60,
  });
  if (!payload.sub || !(payload.exp - payload.iat <= 60)) throw new Error("no client, or valid for too long");
  if (bound) {
    const digest = createHash("sha256").update(body).digest("base64url");
    const same = payload.htm === method && payload.htu === target && (payload.body_sha256 ?? digest) === digest;
    if (!same) throw new Error("made for another request");
  }
  return payload.sub;
}

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(await clientOf(JSON.parse(line)).then((client) => `accepted ${client}`, (error) => `refused ${error}`));
  }
})();

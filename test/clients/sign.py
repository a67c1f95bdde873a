# Usage: python3 sign.py mail.crt mail.key https://schedule.example.com/events [event.json]
#
# Sends GET, or POST with the file, signed with the certificate's key (RFC 9421, RFC 9530):
# a copy of the request is refused, and so is a changed one. The private key is not sent.
import base64, hashlib, pathlib, re, secrets, sys, time, urllib.error, urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, utils


def base64_of(octets):
    return base64.b64encode(octets).decode()


def signature(key, text):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(text)
    if isinstance(key, ec.EllipticCurvePrivateKey):  # P-256 with SHA-256, P-384 with SHA-384; r and s side by side
        digest, size = (hashes.SHA256(), 32) if key.curve.key_size == 256 else (hashes.SHA384(), 48)
        return b"".join(n.to_bytes(size, "big") for n in utils.decode_dss_signature(key.sign(text, ec.ECDSA(digest))))
    return key.sign(text, padding.PSS(padding.MGF1(hashes.SHA512()), 64), hashes.SHA512())  # RSA


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None  # another URL needs another signature


certificate_file, key_file, url, *file = sys.argv[1:]
certificate = x509.load_pem_x509_certificate(pathlib.Path(certificate_file).read_bytes())
key = serialization.load_pem_private_key(pathlib.Path(key_file).read_bytes(), None)
der, spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
keyid = hashlib.sha256(certificate.public_key().public_bytes(der, spki)).hexdigest()
fields = {"x-ssl-auth": base64_of(certificate.public_bytes(der))}
body = pathlib.Path(file[0]).read_bytes() if file else None
if file:
    fields["content-digest"] = f"sha-256=:{base64_of(hashlib.sha256(body).digest())}:"
    fields["content-type"] = "application/json"
request = urllib.request.Request(url, body, fields)

path, _, query = request.selector.partition("?")
covered = {
    "@method": request.get_method(),
    "@authority": re.sub(":(80|443)$", "", request.host.lower()),
    "@path": path or "/",
    "@query": "?" + query,
    **fields,
}
names, now, nonce = " ".join(f'"{name}"' for name in covered), int(time.time()), secrets.token_hex(16)
parameters = f'({names});created={now};expires={now + 60};nonce="{nonce}";keyid="{keyid}";tag="certgate"'
base = "".join(f'"{name}": {value}\n' for name, value in covered.items()) + f'"@signature-params": {parameters}'

request.add_header("Signature-Input", "sig1=" + parameters)
request.add_header("Signature", f"sig1=:{base64_of(signature(key, base.encode()))}:")
try:
    response = urllib.request.build_opener(Stay).open(request, timeout=30)
except urllib.error.HTTPError as refusal:
    response = refusal
print(response.status, response.read().decode(), sep="\n")
sys.exit(response.status >= 300)

# Usage: verify.py JWKS_URL ISSUER AUDIENCE, then requests as JSON, one in each line of standard input
import base64
import hashlib
import json
import sys

import jwt

url, issuer, audience = sys.argv[1:]
keys = jwt.PyJWKClient(url)


def client_of(request):
    (token,) = request["assertions"]  # exactly one header line
    if jwt.get_unverified_header(token).get("typ") != "certgate+jwt":
        raise ValueError("another type")
    key = keys.get_signing_key_from_jwt(token)  # PyJWT uses it with an algorithm of its type only
    claims = jwt.decode(
        token, key.key, algorithms=["EdDSA", "ES256"], issuer=issuer, audience=audience, leeway=5,
        options={"require": ["iss", "aud", "sub", "iat", "exp"]},
    )
    if not claims["sub"] or claims["exp"] - claims["iat"] > 60:
        raise ValueError("no client, or valid for too long")
    if request["bound"]:
        digest = base64.urlsafe_b64encode(hashlib.sha256(request["body"].encode()).digest()).decode().rstrip("=")
        if (claims["htm"], claims["htu"]) != (request["method"], request["target"]) or claims.get("body_sha256", digest) != digest:
            raise ValueError("made for another request")
    return claims["sub"]


for line in sys.stdin:
    try:
        print("accepted", client_of(json.loads(line)), flush=True)
    except Exception as error:
        print("refused", type(error).__name__, error, flush=True)

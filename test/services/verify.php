<?php
// Usage: verify.php JWKS_URL ISSUER AUDIENCE, then requests as JSON, one in each line of standard input
// With PHP's own libsodium, for the gateway's Ed25519 keys. Debian has no library for JWT.
set_error_handler(fn(int $level, string $text) => throw new ErrorException($text)); // a missing claim is no warning
[, $url, $issuer, $audience] = $argv;
$keys = array_column(json_decode(file_get_contents($url), true)['keys'], null, 'kid');

function base64url(string $text): string
{
    return sodium_base642bin($text, SODIUM_BASE64_VARIANT_URLSAFE_NO_PADDING); // throws an exception for another text
}

function client_of(array $request, array $keys, string $issuer, string $audience): string
{
    [$header, $payload, $signature] = explode('.', $request['assertions'][0]);
    $head = json_decode(base64url($header), true);
    $key = $keys[$head['kid'] ?? ''] ?? null;
    $valid = count($request['assertions']) === 1 && ($head['typ'] ?? '') === 'certgate+jwt' && !isset($head['crit'])
        && ($key['crv'] ?? '') === 'Ed25519' && ($head['alg'] ?? '') === 'EdDSA'
        && sodium_crypto_sign_verify_detached(base64url($signature), "$header.$payload", base64url($key['x']));
    $valid || throw new Exception('not an assertion of the gateway');
    $claims = json_decode(base64url($payload), true);
    $now = time();
    $valid = $claims['iss'] === $issuer && $claims['aud'] === $audience && $claims['sub'] !== ''
        && $claims['iat'] <= $now + 5 && $now < $claims['exp'] + 5 && $claims['exp'] - $claims['iat'] <= 60;
    $valid || throw new Exception('another service, or another time');
    $digest = sodium_bin2base64(hash('sha256', $request['body'], true), SODIUM_BASE64_VARIANT_URLSAFE_NO_PADDING);
    $same = ($claims['htm'] ?? '') === $request['method'] && ($claims['htu'] ?? '') === $request['target']
        && ($claims['body_sha256'] ?? $digest) === $digest;
    !$request['bound'] || $same || throw new Exception('made for another request');
    return $claims['sub'];
}

while (($line = fgets(STDIN)) !== false) {
    try {
        echo 'accepted ' . client_of(json_decode($line, true), $keys, $issuer, $audience) . "\n";
    } catch (Throwable $e) {
        echo 'refused ', $e->getMessage(), "\n";
    }
}

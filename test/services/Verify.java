// Usage: java -cp nimbus-jose-jwt.jar Verify.java JWKS_URL ISSUER AUDIENCE, then requests as JSON, one in each line of standard input
import com.nimbusds.jose.*;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.*;
import com.nimbusds.jose.util.*;
import com.nimbusds.jwt.*;
import com.nimbusds.jwt.proc.*;
import java.net.URI;
import java.security.MessageDigest;
import java.util.*;

class Verify {
    public static void main(String[] args) throws Exception {
        var processor = new DefaultJWTProcessor<SecurityContext>();
        var keys = JWKSourceBuilder.create(URI.create(args[0]).toURL()).build();
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("certgate+jwt")));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.ES256, keys));
        var expected = new JWTClaimsSet.Builder().issuer(args[1]).build();
        var checks = new DefaultJWTClaimsVerifier<SecurityContext>(args[2], expected, Set.of("sub", "iat", "exp"));
        checks.setMaxClockSkew(5);
        processor.setJWTClaimsSetVerifier(checks);
        for (var line : (Iterable<String>) new java.io.BufferedReader(new java.io.InputStreamReader(System.in)).lines()::iterator) {
            try {
                System.out.println("accepted " + clientOf(processor, JSONObjectUtils.parse(line)));
            } catch (Exception e) {
                System.out.println("refused " + e);
            }
        }
    }

    static String clientOf(JWTProcessor<SecurityContext> processor, Map<String, Object> request) throws Exception {
        var assertions = JSONObjectUtils.getStringArray(request, "assertions");
        if (assertions.length != 1) throw new SecurityException("not one header line");
        var claims = processor.process(assertions[0], null);
        long lifetime = claims.getExpirationTime().getTime() - claims.getIssueTime().getTime();
        if (claims.getSubject().isEmpty() || lifetime > 60_000 || claims.getIssueTime().getTime() > System.currentTimeMillis() + 5_000)
            throw new SecurityException("no client, or valid for too long");
        if (!(boolean) request.get("bound")) return claims.getSubject();
        var digest = Base64URL.encode(MessageDigest.getInstance("SHA-256").digest(((String) request.get("body")).getBytes("UTF-8"))).toString();
        var found = claims.getStringClaim("body_sha256");
        if (!request.get("method").equals(claims.getClaim("htm")) || !request.get("target").equals(claims.getClaim("htu")) || found != null && !found.equals(digest))
            throw new SecurityException("made for another request");
        return claims.getSubject();
    }
}

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Objects;

import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.BadJwtException;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.oauth2.server.resource.authentication.JwtGrantedAuthoritiesConverter;

/**
 * Verifies tokens as an application with Spring Security does, knowing nothing of their issuer but where the keys are.
 * Reads lines from standard input: the address of the keys, the issuer, the audience, the algorithm, and tokens. Prints a
 * line for each token: "accepted", its client and authorities, or "refused" and the reason, and the same for Spring's
 * defaults.
 */
class Verify {
    static final JwtGrantedAuthoritiesConverter AUTHORITIES = new JwtGrantedAuthoritiesConverter();

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        String keys = lines.readLine();
        String issuer = lines.readLine();
        String audience = lines.readLine();
        SignatureAlgorithm algorithm = SignatureAlgorithm.from(lines.readLine());
        JwtDecoder documented = jwtDecoder(keys, issuer, audience, algorithm);
        JwtDecoder defaults = NimbusJwtDecoder.withJwkSetUri(keys).jwsAlgorithm(algorithm).build();
        for (String token = lines.readLine(); token != null; token = lines.readLine()) {
            System.out.println(outcome(documented, token) + "\t" + outcome(defaults, token));
        }
    }

    // documented: docs/how-to/verify-access-tokens.md
    static JwtDecoder jwtDecoder(String keys, String issuer, String audience, SignatureAlgorithm algorithm) {
        NimbusJwtDecoder decoder = NimbusJwtDecoder.withJwkSetUri(keys)
            .jwsAlgorithm(algorithm)
            .validateType(false) // the validator below requires at+jwt
            .build();
        OAuth2TokenValidator<Jwt> validator = JwtValidators.createAtJwtValidator()
            .issuer(issuer)
            .audience(audience)
            .validators(all -> all.put("client_id", new JwtClaimValidator<String>("client_id", Objects::nonNull)))
            .build();
        decoder.setJwtValidator(validator);
        return decoder;
    }
    // end

    static String outcome(JwtDecoder decoder, String token) {
        try {
            Jwt jwt = decoder.decode(token);
            return "accepted " + jwt.getClaimAsString("client_id") + " " + AUTHORITIES.convert(jwt);
        } catch (BadJwtException refusal) {
            return "refused " + refusal.getMessage();
        }
    }
}

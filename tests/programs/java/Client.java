import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.List;
import java.util.Map;

import org.springframework.security.oauth2.client.AuthorizedClientServiceOAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.ClientAuthorizationException;
import org.springframework.security.oauth2.client.InMemoryOAuth2AuthorizedClientService;
import org.springframework.security.oauth2.client.OAuth2AuthorizeRequest;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientProviderBuilder;
import org.springframework.security.oauth2.client.endpoint.RestClientClientCredentialsTokenResponseClient;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.client.registration.ClientRegistrations;
import org.springframework.security.oauth2.client.registration.InMemoryClientRegistrationRepository;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.core.OAuth2AccessToken;
import org.springframework.util.LinkedMultiValueMap;

/**
 * Gets tokens for a client itself as an application with Spring Security does, which knows only the issuer. Reads lines from
 * standard input: the issuer, the client id and the client secret. Prints a line for each case: "accepted", the scopes and
 * the token, or "refused" and the error code.
 */
class Client {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        String issuer = lines.readLine();
        String id = lines.readLine();
        String secret = lines.readLine();
        ClientRegistration documented = registration(issuer, id, secret);
        ClientRegistration.Builder post = ClientRegistration.withClientRegistration(documented)
            .clientAuthenticationMethod(ClientAuthenticationMethod.CLIENT_SECRET_POST);
        System.out.println(outcome(documented));
        System.out.println(outcome(post.build()));
        System.out.println(outcome(registration(issuer, id, "NeverLogged, and wrong")));
        System.out.println(outcome(ClientRegistration.withClientRegistration(documented).scope("admin").build()));
    }

    // documented: docs/how-to/authenticate-applications.md
    static ClientRegistration registration(String issuer, String id, String secret) {
        return ClientRegistrations.fromIssuerLocation(issuer)
            .registrationId("orders")
            .clientId(id)
            .clientSecret(secret)
            .authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
            .scope("orders:read")
            .build();
    }

    static OAuth2AuthorizedClientManager manager(ClientRegistration registration) {
        var tokens = new RestClientClientCredentialsTokenResponseClient();
        tokens.addParametersConverter(
            request -> new LinkedMultiValueMap<>(Map.of("resource", List.of("https://api.example.com"))));
        var registrations = new InMemoryClientRegistrationRepository(registration);
        var manager = new AuthorizedClientServiceOAuth2AuthorizedClientManager(
            registrations, new InMemoryOAuth2AuthorizedClientService(registrations));
        manager.setAuthorizedClientProvider(OAuth2AuthorizedClientProviderBuilder.builder()
            .clientCredentials(builder -> builder.accessTokenResponseClient(tokens))
            .build());
        return manager;
    }
    // end

    static String outcome(ClientRegistration registration) {
        OAuth2AuthorizeRequest request = OAuth2AuthorizeRequest.withClientRegistrationId("orders").principal("orders").build();
        try {
            OAuth2AccessToken token = manager(registration).authorize(request).getAccessToken();
            return "accepted " + token.getScopes() + " " + token.getTokenValue();
        } catch (ClientAuthorizationException refusal) {
            return "refused " + refusal.getError().getErrorCode();
        }
    }
}

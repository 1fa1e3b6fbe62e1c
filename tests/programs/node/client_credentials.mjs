// Gets tokens for a client itself as applications with openid-client and oauth4webapi do, knowing nothing of the server
// but its issuer, and verifies them. Reads one JSON object from standard input and prints what the libraries saw.
// Run in the folder that holds node_modules.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const load = (name) => import(pathToFileURL(`${process.cwd()}/node_modules/${name}/build/index.js`));
const client = await load("openid-client");
const oauth = await load("oauth4webapi");
const wanted = JSON.parse(readFileSync(0, "utf8"));
const { issuer, client_id: id, client_secret: secret, audience } = wanted;

// documented: docs/how-to/authenticate-applications.md
async function requestToken(issuer, id, authentication) {
  const config = await client.discovery(new URL(issuer), id, undefined, authentication, { algorithm: "oauth2" });
  return client.clientCredentialsGrant(config, { scope: "orders:read", resource: "https://api.example.com" });
}

async function verifyRequest(issuer, request, audience) {
  const discovered = await oauth.discoveryRequest(new URL(issuer), { algorithm: "oauth2" });
  const server = await oauth.processDiscoveryResponse(new URL(issuer), discovered);
  return oauth.validateJwtAccessToken(server, request, audience);
}
// end

const failure = async (promise) => {
  try {
    await promise;
    return "none";
  } catch (error) {
    return { error: error.error, status: error.status };
  }
};
const verify = (token, audience) => {
  const request = new Request(`${audience}/orders`, { headers: { authorization: `Bearer ${token}` } });
  return verifyRequest(issuer, request, audience);
};

async function oauth4webapi() {
  const discovered = await oauth.discoveryRequest(new URL(issuer), { algorithm: "oauth2" });
  const server = await oauth.processDiscoveryResponse(new URL(issuer), discovered);
  const application = { client_id: id };
  const request = async (authentication, parameters) => {
    const response = await oauth.clientCredentialsGrantRequest(server, application, authentication, parameters);
    return oauth.processClientCredentialsResponse(server, application, response);
  };
  const documented = { scope: "orders:read", resource: audience };
  const basic = await request(oauth.ClientSecretBasic(secret), documented);
  return {
    basic,
    post: await request(oauth.ClientSecretPost(secret), documented),
    wrong_secret: await failure(request(oauth.ClientSecretPost("NeverLogged, and wrong"), documented)),
    more_scopes: await failure(request(oauth.ClientSecretBasic(secret), { scope: "admin" })),
    verified: await verify(basic.access_token, audience),
    other_audience: await failure(verify(basic.access_token, "https://other.example.com")),
  };
}

async function openidClient() {
  const basic = await requestToken(issuer, id, client.ClientSecretBasic(secret));
  const authentication = client.ClientSecretBasic(secret);
  const config = await client.discovery(new URL(issuer), id, undefined, authentication, { algorithm: "oauth2" });
  return {
    basic,
    post: await requestToken(issuer, id, client.ClientSecretPost(secret)),
    wrong_secret: await failure(requestToken(issuer, id, client.ClientSecretBasic("NeverLogged, and wrong"))),
    more_scopes: await failure(client.clientCredentialsGrant(config, { scope: "admin" })),
    called: (await fetch(wanted.api, { headers: { authorization: `Bearer ${basic.access_token}` } })).status,
  };
}

console.log(JSON.stringify({ openid_client: await openidClient(), oauth4webapi: await oauth4webapi() }));

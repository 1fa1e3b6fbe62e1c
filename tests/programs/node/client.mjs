// Logs in, refreshes, introspects, revokes and verifies as applications with openid-client and oauth4webapi do, knowing
// nothing of the server but its issuer. Reads one JSON object from standard input and prints what the libraries saw.
// Run in the folder that holds node_modules.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const load = (name) => import(pathToFileURL(`${process.cwd()}/node_modules/${name}/build/index.js`));
const wanted = JSON.parse(readFileSync(0, "utf8"));
// The issuer's address exists in the tokens only.
const fetchFromServer = (url, options) => fetch(String(url).replace(wanted.issuer, wanted.api), options);
const failure = async (promise) => {
  try {
    await promise;
    return "none";
  } catch (error) {
    return { name: error.name, error: error.error, status: error.status };
  }
};

async function openidClient() {
  const client = await load("openid-client");
  const issuer = new URL(wanted.issuer);
  const options = { algorithm: "oauth2", [client.customFetch]: fetchFromServer };
  const web = await client.discovery(issuer, "web", undefined, client.None(), options);
  const gateway = await client.discovery(
    issuer, wanted.client_id, wanted.client_secret, client.ClientSecretBasic(wanted.client_secret), options);
  const login = { username: wanted.username, password: wanted.password };
  const granted = await client.genericGrantRequest(web, "password", login);
  const refreshed = await client.refreshTokenGrant(web, wanted.refresh);
  const seen = {
    token_type: granted.token_type,
    expires_in: granted.expires_in,
    wrong_password: await failure(client.genericGrantRequest(web, "password", { ...login, password: "wrong" })),
    refused_refresh: await failure(client.refreshTokenGrant(web, "nonsense")),
    refused_grant: await failure(client.genericGrantRequest(web, "other", {})),
    refused_client: await failure(client.tokenIntrospection(web, refreshed.access_token)),
    active: await client.tokenIntrospection(gateway, refreshed.access_token),
  };
  await client.tokenRevocation(gateway, refreshed.access_token);
  seen.revoked = await client.tokenIntrospection(gateway, refreshed.access_token);
  seen.ended = await failure(client.refreshTokenGrant(web, refreshed.refresh_token));
  return { ...seen, access: granted.access_token };
}

async function oauth4webapi(access) {
  const oauth = await load("oauth4webapi");
  const options = { [oauth.customFetch]: fetchFromServer };
  const issuer = new URL(wanted.issuer);
  const discovered = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...options });
  const server = await oauth.processDiscoveryResponse(issuer, discovered);
  const verify = (token, audience) => {
    const request = new Request(`${wanted.issuer}/orders`, { headers: { authorization: `Bearer ${token}` } });
    return oauth.validateJwtAccessToken(server, request, audience, options);
  };
  const client = { client_id: "web" };
  const answer = await oauth.refreshTokenGrantRequest(server, client, oauth.None(), "nonsense", options);
  const login = new URLSearchParams({ username: wanted.username, password: "wrong" });
  const refusal = await oauth.genericTokenEndpointRequest(server, client, oauth.None(), "password", login, options);
  return {
    claims: await verify(access, wanted.audience),
    refresh_token: await failure(verify(wanted.refresh, wanted.audience)),
    other_audience: await failure(verify(access, "other")),
    refused_refresh: await failure(oauth.processRefreshTokenResponse(server, client, answer)),
    wrong_password: await failure(oauth.processGenericTokenEndpointResponse(server, client, refusal)),
  };
}

const { access, ...openid } = await openidClient();
console.log(JSON.stringify({ openid_client: openid, oauth4webapi: await oauth4webapi(access) }));

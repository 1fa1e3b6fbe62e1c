// Verifies a token as an application with jose does, which knows only where the issuer publishes its keys.
// Reads one JSON object from standard input. Prints the claims, or prints why it refuses the token and exits with 1.
// Run it in the folder that contains node_modules.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { createRemoteJWKSet, errors, jwtVerify } = createRequire(`${process.cwd()}/`)("jose");

const wanted = JSON.parse(readFileSync(0, "utf8"));
try {
  const { payload } = await jwtVerify(wanted.token, createRemoteJWKSet(new URL(wanted.jwks)), {
    algorithms: [wanted.algorithm],
    issuer: wanted.issuer,
    audience: wanted.audience,
    typ: wanted.typ,
    requiredClaims: ["iss", "sub", "aud", "exp", "iat", "nbf", "jti"],
  });
  console.log(JSON.stringify(payload));
} catch (error) {
  if (!(error instanceof errors.JOSEError)) throw error;
  console.log(`refused: ${error.code}: ${error.message}`);
  process.exitCode = 1;
}

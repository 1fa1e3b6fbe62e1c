"""Verifies a token as an application with PyJWT does, which knows only where the issuer publishes its keys.

Reads one JSON object from standard input. Prints the claims, or prints why it refuses the token and exits with 1.
"""

import json
import sys

import jwt

wanted = json.load(sys.stdin)
try:
    header = jwt.get_unverified_header(wanted["token"])
    if header.get("typ") != wanted["typ"]:
        raise jwt.InvalidTokenError(f"typ is {header.get('typ')}")
    key = jwt.PyJWKClient(wanted["jwks"]).get_signing_key_from_jwt(wanted["token"])
    claims = jwt.decode(
        wanted["token"],
        key,
        algorithms=[wanted["algorithm"]],
        issuer=wanted["issuer"],
        audience=wanted["audience"],
        options={"require": ["iss", "sub", "aud", "exp", "iat", "nbf", "jti"]},
    )
except jwt.PyJWTError as error:
    print(f"refused: {type(error).__name__}: {error}")
    sys.exit(1)
print(json.dumps(claims))

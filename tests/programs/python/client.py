"""Logs in, refreshes, introspects, revokes and verifies as applications with Authlib do.

Reads one JSON object from standard input and prints what the library saw.
"""

import json
import os
import sys

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6750.errors import InvalidTokenError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
wanted = json.load(sys.stdin)
metadata = requests.get(f"{wanted['api']}/.well-known/oauth-authorization-server", timeout=10).json()


def at(name):
    """The issuer's address exists in the tokens only."""
    return metadata[name].replace(wanted["issuer"], wanted["api"])


class Validator(JWTBearerTokenValidator):
    """RFC 9068 §4, as Authlib reads it."""

    def get_jwks(self):
        return requests.get(at("jwks_uri"), timeout=10).json()


def failure(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except (OAuthError, InvalidTokenError) as error:
        return error.error
    return "none"


def verify(token, audience):
    validator = Validator(issuer=wanted["issuer"], resource_server=audience)
    claims = validator.authenticate_token(token)
    validator.validate_token(claims, [], None)
    return dict(claims)


endpoint = at("token_endpoint")
web = OAuth2Session("web", token_endpoint_auth_method="none")
secret = OAuth2Session(wanted["client_id"], wanted["client_secret"])
login = {"username": wanted["username"], "password": wanted["password"]}
granted = web.fetch_token(endpoint, grant_type="password", **login)
seen = {
    "token_type": granted["token_type"],
    "wrong_password": failure(
        OAuth2Session("web", token_endpoint_auth_method="none").fetch_token,
        endpoint, grant_type="password", username=wanted["username"], password="not the password",
    ),
    "refused_refresh": failure(web.refresh_token, endpoint, refresh_token="nonsense"),
    "claims": verify(granted["access_token"], wanted["audience"]),
    "other_audience": failure(verify, granted["access_token"], "other"),
    "refresh_token": failure(verify, wanted["refresh"], wanted["audience"]),
}
refreshed = web.refresh_token(endpoint, refresh_token=wanted["refresh"])
token = refreshed["access_token"]
seen["active"] = secret.introspect_token(at("introspection_endpoint"), token=token).json()
secret.revoke_token(at("revocation_endpoint"), token=token).raise_for_status()
seen["revoked"] = secret.introspect_token(at("introspection_endpoint"), token=token).json()
seen["ended"] = failure(web.refresh_token, endpoint, refresh_token=refreshed["refresh_token"])
print(json.dumps(seen))

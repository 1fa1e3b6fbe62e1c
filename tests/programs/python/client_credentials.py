"""Gets tokens for a client itself as applications with Authlib do, calls an API with them, and protects one.

Reads one JSON object from standard input and prints what the library saw.
"""

import json
import sys
from types import SimpleNamespace

# documented: docs/how-to/authenticate-applications.md
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6749 import ResourceProtector
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator


def new_session(issuer, client_id, client_secret, method="client_secret_basic"):
    session = OAuth2Session(
        client_id,
        client_secret,
        token_endpoint=f"{issuer}/api/v1/auth/token",
        token_endpoint_auth_method=method,
        grant_type="client_credentials",
        scope="orders:read",
    )
    session.fetch_token()
    return session


class Validator(JWTBearerTokenValidator):
    def get_jwks(self):
        return requests.get(f"{self.issuer}/.well-known/jwks.json", timeout=10).json()


def new_protector(issuer, audience):
    protector = ResourceProtector()
    protector.register_token_validator(Validator(issuer, audience))
    return protector
# end


from authlib.integrations.base_client import OAuthError
from authlib.oauth2.base import OAuth2Error

wanted = json.load(sys.stdin)
issuer, client_id, secret = wanted["issuer"], wanted["client_id"], wanted["client_secret"]


def failure(call, *arguments):
    try:
        call(*arguments)
    except (OAuthError, OAuth2Error) as error:
        return error.error
    return "none"


def request_more_scopes():
    session = OAuth2Session(client_id, secret, scope="admin")
    session.fetch_token(f"{issuer}/api/v1/auth/token", grant_type="client_credentials")


def protect(token, scope, audience=wanted["audience"]):
    request = SimpleNamespace(headers={"Authorization": f"Bearer {token}"})
    return dict(new_protector(issuer, audience).validate_request([scope], request))


basic = new_session(issuer, client_id, secret)
post = new_session(issuer, client_id, secret, "client_secret_post")
token = basic.token["access_token"]
# An expired token is replaced before the request.
basic.token["expires_at"] = 1
called = basic.get(wanted["api"], timeout=10).status_code
print(json.dumps({
    "basic": {"access_token": token, "scope": basic.token["scope"]},
    "post": {"access_token": post.token["access_token"], "scope": post.token["scope"]},
    "called": called,
    "renewed": basic.token["access_token"] != token,
    "wrong_secret": failure(new_session, issuer, client_id, "NeverLogged, and wrong"),
    "more_scopes": failure(request_more_scopes),
    "protected": protect(token, "orders:read"),
    "missing_scope": failure(protect, token, "orders:write"),
    "other_audience": failure(protect, token, "orders:read", "https://other.example.com"),
}))

"""Logs in for Schemathesis, and again whenever one of its requests has ended the session.

LATCHKEY_USERNAME and LATCHKEY_PASSWORD name the user, or LATCHKEY_CLIENT_ID and LATCHKEY_CLIENT_SECRET an OAuth client.
Without them, every request is sent without a token.
"""

import os

import requests
import schemathesis
from requests.auth import _basic_auth_str

USERNAME = os.environ.get("LATCHKEY_USERNAME")
PASSWORD = os.environ.get("LATCHKEY_PASSWORD")
CLIENT_ID = os.environ.get("LATCHKEY_CLIENT_ID")
CLIENT_SECRET = os.environ.get("LATCHKEY_CLIENT_SECRET")
BASE = os.environ["LATCHKEY_URL"]
TOKEN = "/api/v1/auth/token"
FOR_CLIENTS = {TOKEN, "/api/v1/auth/introspect", "/api/v1/auth/revoke"}


class Session:
    """Provides an access token that is valid when it is requested."""

    token = ""

    def get(self, case, context):
        me = requests.get(f"{BASE}/api/v1/auth/me", headers=self.headers(), timeout=10)
        if me.status_code == 401:
            form = {"username": USERNAME, "password": PASSWORD}
            login = requests.post(f"{BASE}/api/v1/auth/login", data=form, timeout=10)
            login.raise_for_status()
            self.token = login.json()["access_token"]["token"]
        else:
            me.raise_for_status()
        return self.token

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"

    def headers(self):
        return {"Authorization": f"Bearer {self.token}"}


class Client:
    """HTTP Basic where clients authenticate, and elsewhere an access token of the client."""

    token = ""

    def get(self, case, context):
        if case.operation.path in FOR_CLIENTS:
            return _basic_auth_str(CLIENT_ID, CLIENT_SECRET)
        if not self.token:
            form = {"grant_type": "client_credentials"}
            answer = requests.post(f"{BASE}{TOKEN}", data=form, auth=(CLIENT_ID, CLIENT_SECRET), timeout=10)
            answer.raise_for_status()
            self.token = answer.json()["access_token"]
        return f"Bearer {self.token}"

    def set(self, case, data, context):
        case.headers["Authorization"] = data


def request_token_for_client(context, case, kwargs):
    """A random grant type and client would only be refused."""
    if case.operation.path != TOKEN or not isinstance(case.body, dict) or case.meta.generation.mode.is_negative:
        return
    case.body["grant_type"] = "client_credentials"
    for name in ("client_id", "client_secret"):
        case.body.pop(name, None)


if USERNAME:
    schemathesis.auth(refresh_interval=None)(Session)
if CLIENT_ID:
    schemathesis.auth(refresh_interval=None)(Client)
    schemathesis.hook("before_call")(request_token_for_client)

"""Logs in for Schemathesis, and again whenever one of its requests has ended the session.

LATCHKEY_USERNAME and LATCHKEY_PASSWORD name the user. Without them, every request is sent without a token.
"""

import os

import requests
import schemathesis

USERNAME = os.environ.get("LATCHKEY_USERNAME")
PASSWORD = os.environ.get("LATCHKEY_PASSWORD")
BASE = os.environ["LATCHKEY_URL"]


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


if USERNAME:
    schemathesis.auth(refresh_interval=None)(Session)

"""Logs in for Schemathesis, which may end the session it works in: then it logs in again.

LATCHKEY_USERNAME and LATCHKEY_PASSWORD say as whom; without them every request is sent without a token.
"""

import os

import requests
import schemathesis

USERNAME = os.environ.get("LATCHKEY_USERNAME")
PASSWORD = os.environ.get("LATCHKEY_PASSWORD")
BASE = os.environ["LATCHKEY_URL"]


class Session:
    """An access token that is good at the moment it is asked for."""

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

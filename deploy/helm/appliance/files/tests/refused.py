"""A request without a key, and one with a wrong key, are both refused with 401."""

import json
import os
import sys
import urllib.error
import urllib.request

for headers in ({}, {"authorization": "Bearer not-a-key"}):
    request = urllib.request.Request(
        os.environ["URL"] + "/v1/chat/completions",
        data=json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}).encode(),
        headers={"content-type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=float(os.environ["TIMEOUT_S"])) as reply:
            sys.exit(f"a request with the headers {list(headers)} was answered with {reply.status}; 401 was expected")
    except urllib.error.HTTPError as error:
        print(f"headers {list(headers)}: {error.code}")
        if error.code != 401:
            sys.exit(f"401 was expected, and {error.code} came")

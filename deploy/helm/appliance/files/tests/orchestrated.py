"""One orchestrated request: it is answered, by several calls, and the answer says which strategy was taken."""

import json
import os
import sys
import urllib.request
from pathlib import Path

key = Path(os.environ["KEY_FILE"]).read_text().split()[0]
body = {"model": "auto", "messages": [{"role": "user", "content": os.environ["QUESTION"]}]}
request = urllib.request.Request(
    os.environ["URL"] + "/v1/chat/completions",
    data=json.dumps(body).encode(),
    headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
)
with urllib.request.urlopen(request, timeout=float(os.environ["TIMEOUT_S"])) as reply:
    document = json.load(reply)
    trace = reply.headers.get("x-trace-id")
text = document["choices"][0]["message"]["content"]
strategy = document["appliance"]["strategy"]
calls = document["appliance"]["calls"]
print(f"trace {trace}: {strategy}, {calls} calls, {len(text or '')} characters")
if not text or calls < 2:
    sys.exit("an answer made of several calls was expected; tests.question may be too simple, or a role has no engine")

"""Nothing outside can be reached: every attempt to connect must fail. A network plugin that ignores policies shows."""

import os
import socket
import sys

reached = []
for target in os.environ["TARGETS"].split():
    host, _, port = target.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5):
            reached.append(target)
            print(f"{target}: REACHED")
    except OSError as error:
        print(f"{target}: not reached ({error})")
if reached:
    sys.exit(
        f"{', '.join(reached)} can be reached from {os.environ['PLACE']}: the network plugin does not enforce this "
        "release's NetworkPolicies, or they allow it"
    )

"""How a plan refers to the result of an earlier step: `$s1`. Pure."""

from __future__ import annotations

import re

REFERENCE = re.compile(r"\$(s[0-9A-Za-z]+)")
"""`$s1`; the group is the step's id."""

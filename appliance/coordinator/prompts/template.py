"""A compiled template as the request path renders it: with a context of its own and nothing else made anew.

jinja2's `Template.render` copies the environment's globals and makes the settings of autoescape and the table of blocks
for every text. Prompts are many and small, so what never changes is made once.
"""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, Template
from jinja2.nodes import Name
from jinja2.runtime import Context


class _PromptContext(Context):
    """The values of one text; what the environment says of all texts is shared."""

    def __init__(self, whole: Context, values: dict[str, Any]) -> None:
        self.parent = values
        self.vars = {}
        self.exported_vars = set()
        self.environment = whole.environment
        self.eval_ctx = whole.eval_ctx
        self.name = whole.name
        self.globals_keys = whole.globals_keys
        self.blocks = whole.blocks


class PromptTemplate:
    """Renders one template. Raises what jinja2 raises."""

    def __init__(self, environment: Environment, source: str) -> None:
        self._environment = environment
        self._template: Template = environment.from_string(source)
        named = {node.name for node in environment.parse(source).find_all(Name)}
        self._globals = {name: value for name, value in self._template.globals.items() if name in named}
        self._whole = self._template.new_context()

    def render(self, **values: Any) -> str:
        """The text, with every name of the template given in `values`."""
        context = _PromptContext(self._whole, {**self._globals, **values} if self._globals else values)
        try:
            return "".join(self._template.root_render_func(context))
        except Exception:  # whatever a template raises goes on up, with the template's own line in its traceback
            self._environment.handle_exception()

"""For the reference pages: griffe knows the section "Examples" of a docstring, and takes "Example" for plain text."""

import re
from typing import Any

import griffe


class ExamplesSection(griffe.Extension):
    """Reads every "Example" as "Examples"."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section in one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.M)

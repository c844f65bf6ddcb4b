# ruff: noqa: INP001 - a script beside what it is for, not a package
"""Write the API's OpenAPI document to `web/openapi.json`, which the dashboard's types are made of.

Run from the root: python -m docs.make_openapi. A test says when it is due.
"""

import json
import os
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "web" / "openapi.json"


def make() -> str:
    """Make the document of the application as it is now."""
    os.environ["ENV_FILE"] = ""  # nothing of this machine belongs into it
    from api.main import app  # noqa: PLC0415 - after the line above

    return json.dumps(app.openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(make())

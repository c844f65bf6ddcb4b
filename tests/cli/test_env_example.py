import re

from infra.settings import Settings
from tests.support.processes import ROOT

EXAMPLE = (ROOT / ".env.example").read_text()
# Set by the supervisor for its own programs, never by a person.
INTERNAL = {"SANDBOX_FEED_URL", "HEARTBEAT_FILE"}


def test_plain_copy_of_the_example_sets_nothing() -> None:
    assert [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")] == []


def test_example_explains_every_setting() -> None:
    explained = set(re.findall(r"^# .+\n#([A-Z_]+)=", EXAMPLE, re.MULTILINE))

    assert explained == {name.upper() for name in Settings.model_fields} - INTERNAL

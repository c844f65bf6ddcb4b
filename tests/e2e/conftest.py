from collections.abc import Callable, Iterator

import pytest

from tests.support.processes import Nursery
from tests.support.run import WholeRun

StartRun = Callable[..., WholeRun]


@pytest.fixture(scope="module")
def start_run(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartRun]:
    """Start whole runs, each on a data folder of its own; end them with the module."""

    def start(**env: str) -> WholeRun:
        return WholeRun(nursery, tmp_path_factory.mktemp("run") / "var", **env)

    with nursery.group():
        yield start

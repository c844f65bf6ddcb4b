"""Python's search for garbage, kept away from what stays as long as the process does.

Modules, tables, routes and their models are a few hundred thousand objects. To look through all of
them for cycles takes a tenth of a second, in which nobody is answered and nothing is settled.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# So many more objects made than freed begin a search; most of a request's are freed at its end.
_SEARCH_AFTER = 10_000


def set_aside() -> None:
    """Leave out what there is now from every search from now on, and search less often.

    For a process that has just begun to work; a second time adds what has come since.
    """
    gc.freeze()
    gc.set_threshold(_SEARCH_AFTER, *gc.get_threshold()[1:])


@contextmanager
def settled() -> Iterator[None]:
    """Leave out what there is now from every search while the block lasts."""
    before = gc.get_threshold()
    set_aside()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()

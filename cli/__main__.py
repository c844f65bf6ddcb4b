"""Entry of `tradepost` and `python -m cli`; it needs nothing but Python to say what is missing."""

import sys

OLDEST_PYTHON = (3, 11)


def main() -> None:
    """Run the command line; a missing Python module ends it with one sentence."""
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(str(part) for part in sys.version_info[:2])
        sys.exit(f"Python 3.11 or newer is needed, this is {found}: see `make help`.")
    try:
        from cli.app import run  # noqa: PLC0415 - what it imports may be missing
    except ModuleNotFoundError as missing:
        from cli.modules import sentence_about  # noqa: PLC0415 - only when needed

        sys.exit(sentence_about(missing.name or "a module"))
    run()


if __name__ == "__main__":
    main()

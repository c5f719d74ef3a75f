"""``python -m pyro_rm.testing``: every check of what is registered, a line each."""

from __future__ import annotations

from pyro_rm.testing.registry import every_check


def main() -> int:
    """Run all checks.

    :returns: How many failed, at most 1.
    """
    failed = 0
    for name, check in every_check():
        try:
            check()
            print(f"{name}: right")
        except AssertionError as error:
            failed = 1
            print(f"{name}: {error}")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())

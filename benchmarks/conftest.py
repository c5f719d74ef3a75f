"""Medians of `make benchmark` as a table of ratios, beside the JSON of pytest-benchmark."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest


def pytest_benchmark_update_json(
    config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]
) -> None:
    """Write ``FILE.md`` beside the ``FILE.json`` that was asked for."""
    groups: dict[str, list[str]] = defaultdict(list)
    for row in output_json["benchmarks"]:
        seconds, others = row["stats"]["median"], row["extra_info"]["others"]
        plain, *beside = (f"{seconds / other:.2f}" for other in others.values())
        named = f"{beside[0]} x {list(others)[1]}" if beside else ""
        groups[row["group"]].append(f"| {row['name']} | {1e3 * seconds:.2f} | {plain} | {named} |")
    lines = []
    for group, rows in groups.items():
        lines += [f"| {group} | ms | x a plain pass | beside |", "|---|---|---|---|", *rows, ""]
    table = "\n".join(lines)
    if config.option.benchmark_json:
        Path(config.option.benchmark_json).with_suffix(".md").write_text(table)
    print("\n" + table)

"""Medians of `make benchmark` as a table of ratios, beside the JSON of pytest-benchmark."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest


def pytest_benchmark_update_json(
    config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]
) -> None:
    """Write ``FILE.md`` beside the ``FILE.json`` that was asked for."""
    groups: dict[str, dict[str, float]] = defaultdict(dict)
    for row in output_json["benchmarks"]:
        groups[row["group"]][row["name"]] = row["stats"]["median"]
    lines = []
    for group, medians in groups.items():
        base = next(iter(medians.values()))
        lines += [f"| {group} | ms | ratio to the first |", "|---|---|---|"]
        lines += [
            f"| {name} | {1e3 * seconds:.2f} | {seconds / base:.2f} |"
            for name, seconds in medians.items()
        ]
        lines.append("")
    table = "\n".join(lines)
    if config.option.benchmark_json:
        Path(config.option.benchmark_json).with_suffix(".md").write_text(table)
    print("\n" + table)

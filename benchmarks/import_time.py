"""What `import pyro_rm` takes beyond torch and Pyro: processor seconds, and modules by package.

Each import is made in a process of its own. Prints Markdown.

    python benchmarks/import_time.py [--repeats 10]
"""

import argparse
import json
import statistics
import subprocess
import sys

IMPORT = """
import collections, json, sys, time
import numpy, pyro, torch
before, start = set(sys.modules), time.process_time()
import pyro_rm
seconds = time.process_time() - start
new = collections.Counter(name.split(".")[0] for name in set(sys.modules) - before)
print(json.dumps([seconds, new]))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    command = [sys.executable, "-c", IMPORT]
    runs = [
        json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        for _ in range(parser.parse_args().repeats)
    ]
    modules = runs[0][1]
    named = {name: modules.pop(name) for name in ("pyro_rm", "networkx")}
    print("| seconds, median | pyro_rm | networkx | other modules |\n|---|---|---|---|")
    seconds = statistics.median(run[0] for run in runs)
    print(f"| {seconds:.2f} | {' | '.join(map(str, named.values()))} | {sum(modules.values())} |")


if __name__ == "__main__":
    main()

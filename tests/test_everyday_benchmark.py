"""The benchmark of all that a user waits for prints its table, at a tiny size."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "everyday.py"


def run(*arguments):
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_prints_a_line_a_circuit_and_the_start_of_a_process():
    sizes = ["--structures", "hclt", "--components", "2", "--rounds", "1"]
    done = run("--sets", "chain", *sizes)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[:3] == ["chain (synthetic)", "hclt", "2"]
    assert all(float(cell.replace(",", "")) >= 0 for cell in cells[3:])
    assert lines[-1].startswith("import skpc: ")


def test_a_structure_that_is_not_there_is_named():
    done = run("--structures", "oak")
    assert done.returncode != 0
    assert "oak" in done.stderr

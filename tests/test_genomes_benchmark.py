"""The benchmark of simulated haplotypes runs, and says what it needs."""

import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(monkeypatch, *arguments):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", ["genomes.py", *arguments])
    runpy.run_path(str(BENCHMARKS / "genomes.py"), run_name="__main__")


def test_the_missing_simulator_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "msprime", None)
    with pytest.raises(SystemExit, match="pip install msprime"):
        run(monkeypatch)


def test_it_prints_a_table_at_tiny_size(monkeypatch, capsys):
    pytest.importorskip("msprime", reason="simulates the haplotypes")
    sizes = {"haplotypes": 100, "sites": 20, "units": 2, "passes": 2, "structures": "hclt"}
    arguments = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    run(monkeypatch, *arguments, "--solvers", "em", "anemone")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "60 / 20 / 20 haplotypes of 20 sites"
    cells = {line.split("|")[1].strip(): line.split("|") for line in lines if line.startswith("| ")}
    assert {"em", "anemone"} <= set(cells)
    assert float(cells["em"][2]) < 0

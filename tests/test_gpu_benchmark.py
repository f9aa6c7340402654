"""The benchmark for GPUs runs from end to end, at tiny sizes on a CPU."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("torch")


def test_every_circuit_is_checked_and_timed(capsys):
    script = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "gpu.py"))
    script["main"](["--quick", "--device", "cpu"])
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith(("| HCLT", "| PD", "| HMM"))
    ]
    assert [row[0].split()[0] for row in rows] == ["HCLT"] * 3 + ["PD"] * 3 + ["HMM"] * 3
    for row in rows:
        assert len(row) == 10
        assert float(row[4]) > 0, "seconds"
        assert 0 < float(row[7]) < 1e-4, "nats"
        most = 1e-2 if row[2] == "bfloat16" else 1e-5
        assert 0 < float(row[8]) < most, "share of the flows"

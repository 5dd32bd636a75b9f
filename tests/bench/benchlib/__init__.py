"""The parts of the benchmark suite's driver, run.py."""

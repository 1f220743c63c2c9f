"""What a job costs, beside the bare loop and beside the peers. ``python -m benchmarks --help`` says how to run it."""

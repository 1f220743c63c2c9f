"""The command line of the benchmarks."""

from __future__ import annotations

import argparse

from benchmarks.campaign import Campaign
from benchmarks.contestants import CONTESTANTS
from benchmarks.workloads import WORKLOADS


def main() -> None:
    """Run a part of a campaign, or report on it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What a job costs beside the bare loop and the peers."
    )
    parser.add_argument("--campaign", default="default", help="name of the folder of results below .benchmarks/runs")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the workloads; 0.01 is a smoke run")
    parts = parser.add_subparsers(dest="part", required=True)
    run = parts.add_parser("run", help="run workloads, all contestants in turn; what was run already is not run again")
    run.add_argument(
        "workloads",
        nargs="*",
        choices=[[], *WORKLOADS],
        metavar="WORKLOAD",
        help=f"of {', '.join(WORKLOADS)}; default: all",
    )
    run.add_argument("--contestants", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    run.add_argument("--rounds", type=int, default=10, help="that count; one more is run first and discarded")
    options = parser.parse_args()
    campaign = Campaign(options.campaign, options.scale)
    if options.part == "run":
        for name in options.workloads or WORKLOADS:
            campaign.run(
                WORKLOADS[name], [CONTESTANTS[contestant] for contestant in options.contestants], options.rounds
            )


if __name__ == "__main__":
    main()

"""The command line of the benchmarks."""

from __future__ import annotations

import argparse

from benchmarks.campaign import Campaign
from benchmarks.contestants import CONTESTANTS
from benchmarks.micro import QUESTIONS, measure
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
    micro = parts.add_parser("micro", help="measure single steps")
    micro.add_argument(
        "questions",
        nargs="*",
        choices=[[], *QUESTIONS],
        metavar="QUESTION",
        help=f"of {', '.join(QUESTIONS)}; default: all",
    )
    parts.add_parser("airflow", help="measure jobs in a real Airflow; needs the project's own environment")
    parts.add_parser("report", help="write docs/benchmarks.md and its chart from what was measured")
    options = parser.parse_args()
    campaign = Campaign(options.campaign, options.scale)
    match options.part:
        case "run":
            for name in options.workloads or WORKLOADS:
                contestants = [CONTESTANTS[contestant] for contestant in options.contestants]
                campaign.run(WORKLOADS[name], contestants, options.rounds)
        case "micro":
            for question in options.questions or QUESTIONS:
                measure(campaign, question)
        case "airflow":
            from benchmarks import airflow_jobs

            airflow_jobs.measure(campaign)
        case "report":
            from benchmarks import report

            report.write(campaign)


if __name__ == "__main__":
    main()

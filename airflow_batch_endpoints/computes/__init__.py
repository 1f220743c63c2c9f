"""Running a worker command where a job's compute says."""

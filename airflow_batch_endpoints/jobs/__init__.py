"""What a job is: its resolved specification, its directory, its states and its counts. Pure."""

"""What can be done with documents and jobs: one implementation for the command line, REST and pages."""

"""The gate: deployment files in, verdicts for continuous integration out."""

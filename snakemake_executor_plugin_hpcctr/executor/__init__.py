"""Snakemake's RemoteExecutor: jobs → tasks → submissions, and back."""

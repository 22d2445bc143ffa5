"""What runs on a node for a job that needs Snakemake's Python: `python -m … SPEC`."""

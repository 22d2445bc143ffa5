"""Every touch of Snakemake's private parts, one function each; checked against 9.17 and 9.27."""

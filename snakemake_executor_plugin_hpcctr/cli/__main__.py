"""`python -m snakemake_executor_plugin_hpcctr.cli`: the same as `hpcctr`."""

from __future__ import annotations

import sys

from snakemake_executor_plugin_hpcctr.cli import main

if __name__ == "__main__":
    sys.exit(main())

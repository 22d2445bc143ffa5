#!/usr/bin/env bash
# The train-evaluate pipeline on a throw-away Slurm of this machine, or without Slurm where
# there is none. Results go to demo-results/ in the current folder. `make demo` calls this.
set -euo pipefail
template=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
here=$PWD
results=$here/demo-results
say() { printf '\n== %s\n' "$*" >&2; }

say "1/3 An image with Python and numpy, from Debian's packages"
mkdir -p "$results"
train="'pyxis,enroot,apptainer'" other=apptainer
if ! hpcctr lab image --dir "$results/images"; then
  echo "No image could be made here (see above): the stages run without a container." >&2
  train=host other=host
  python3 -c 'import numpy' 2>/dev/null || python3 -m pip install --quiet numpy
fi

scheduler=local
if lab=$(hpcctr lab up --dir "$here/.lab"); then
  eval "$lab"
  scheduler=slurm
  trap 'hpcctr lab down --dir "$here/.lab"' EXIT
  say "2/3 A throw-away Slurm with two nodes and fake GPUs is up: SLURM_CONF=$SLURM_CONF"
else
  say "2/3 No Slurm here (see above): the same job scripts run on this machine, scheduler local"
  export HPCCTR_LOCAL_GPUS=${HPCCTR_LOCAL_GPUS:-1}
fi

say "3/3 preprocess, train with 4 learning rates, evaluate"
cd "$results"
snakemake --snakefile "$template/workflow/Snakefile" --configfile "$template/config/config.yaml" \
  --config data="$template/data/digits.csv.gz" engines="{preprocess: $other, train: $train, evaluate: $other}" \
  --executor hpcctr --hpcctr-scheduler "$scheduler" -j 100 --forceall

printf '\nAccuracy of each learning rate:\n'
column -t -s $'\t' results/accuracy.tsv 2>/dev/null || cat results/accuracy.tsv
printf '\nWhat ran where:\n'
hpcctr status
printf '\nThe results are in %s; open report.svg in a browser.\n' "$results/results"

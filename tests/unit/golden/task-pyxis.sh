#!/bin/bash
# hpcctr task 3.1: train (lr=0.1, note=it's #SBATCH --mem=1G), attempt 2
# engine pyxis, image science.sqsh
# by hand: bash THIS_FILE (writes the exit marker and uses the same temporary folder)
source /project/run/hpcctr.sh

hpcctr_task=3.1
hpcctr_marker=/project/run/markers/3.1
hpcctr_workdir=/project
hpcctr_shell=bash
hpcctr_scratch=/tmp/hpcctr-1000-run-7
hpcctr_tmpdir=/tmp/hpcctr-1000-run-7/tmp
hpcctr_gpus=2
hpcctr_clean=1
hpcctr_engine=srun
hpcctr_substitute=''
hpcctr_image=/images/science.sqsh
hpcctr_sources=(
  /project
  /data
)
hpcctr_pass=(TOKEN)
hpcctr_launch=(
  srun
  --nodes=1
  --ntasks=1
  --cpus-per-task=1
  --kill-on-bad-exit=1
  --container-image=/images/science.sqsh
  --container-mounts=/tmp:/tmp,/project:/project,/var/tmp:/var/tmp,/tmp/hpcctr-1000-run-7:/tmp/hpcctr-1000-run-7,/data:/mnt/data:ro,/tmp/hpcctr-1000-run-7/tmp:/tmp/hpcctr-1000-run-7/tmp
  --container-mount-home
  --no-container-entrypoint
)
hpcctr_launch_env=(ENROOT_LOGIN_SHELL=no)

hpcctr_files() {
:
}

hpcctr_once() {
  :
}

hpcctr_after() {
  :
}

# What the command finds in its environment:
hpcctr_read hpcctr_declared <<'END_OF_ENVIRONMENT'
export TMPDIR=/tmp/hpcctr-1000-run-7/tmp
export TMP=/tmp/hpcctr-1000-run-7/tmp
export TEMPDIR=/tmp/hpcctr-1000-run-7/tmp
export TEMP=/tmp/hpcctr-1000-run-7/tmp
export OMP_NUM_THREADS=4
export NOTE='two
lines, $HOME'

END_OF_ENVIRONMENT

# The command:
hpcctr_read hpcctr_command <<'END_OF_COMMAND'
set -euo pipefail; 
python train.py --lr 0.1 'a b'

END_OF_COMMAND

hpcctr_run

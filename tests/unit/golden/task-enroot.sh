#!/bin/bash
# hpcctr task 3.1: train (lr=0.1, note=it's #SBATCH --mem=1G), attempt 2
# engine enroot, image science.sqsh
# by hand: bash THIS_FILE (writes the exit marker and uses the same temporary folder)
source /project/run/hpcctr.sh

hpcctr_task=3.1
hpcctr_marker=/project/run/markers/3.1
hpcctr_workdir=/project
hpcctr_shell=bash
hpcctr_scratch=/tmp/hpcctr-1000-run-7
hpcctr_tmpdir=/tmp/hpcctr-1000-run-7/tmp
hpcctr_gpus=2
hpcctr_clean=0
hpcctr_engine=enroot
hpcctr_substitute=''
hpcctr_image=/images/science.sqsh
hpcctr_sources=(
  /project
  /data
)
hpcctr_pass=(TOKEN)
hpcctr_launch=(
  enroot
  start
  --conf
  /tmp/hpcctr-1000-run-7/enroot.conf
  --rc
  /tmp/hpcctr-1000-run-7/enroot.rc
  hpcctr-08360ab1177ee8a1
)
hpcctr_launch_env=(
  ENROOT_LOGIN_SHELL=no
  ENROOT_MOUNT_HOME=yes
)

hpcctr_files() {
cat >"$hpcctr_scratch"/enroot.conf <<'END_OF_FILE'
mounts() {
  cat <<'END_OF_MOUNTS'
/tmp /tmp none x-create=auto,rbind
/project /project none x-create=auto,rbind
/var/tmp /var/tmp none x-create=auto,rbind
/tmp/hpcctr-1000-run-7 /tmp/hpcctr-1000-run-7 none x-create=auto,rbind
/data /mnt/data none x-create=auto,rbind,ro
/tmp/hpcctr-1000-run-7/tmp /tmp/hpcctr-1000-run-7/tmp none x-create=auto,rbind
END_OF_MOUNTS
}

END_OF_FILE
cat >"$hpcctr_scratch"/enroot.rc <<'END_OF_FILE'
exec "$@"

END_OF_FILE
}

hpcctr_once() {
  local lock=/tmp/hpcctr-1000-run-7/enroot.lock."$UID"
  (
    flock 9
    { [[ -s $lock ]] && env -i "${hpcctr_process_env[@]}" sh -c 'enroot list | grep -Fqx -- "$1"' sh hpcctr-08360ab1177ee8a1; } \
      || env -i "${hpcctr_process_env[@]}" enroot create --force --name hpcctr-08360ab1177ee8a1 /images/science.sqsh >&2 || exit
    echo >&9
  ) 9>>"$lock" || hpcctr_fail engine_failed 'enroot create --force --name hpcctr-08360ab1177ee8a1 /images/science.sqsh'
}

hpcctr_after() {
  env -i "${hpcctr_process_env[@]}" enroot remove --force hpcctr-08360ab1177ee8a1 >/dev/null
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

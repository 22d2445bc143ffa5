# Tasks with several processes, or several nodes; sourced by hpcctr.sh for such tasks only.
#
# A task of several processes is started by hpcctr_launcher (srun …) or by the engine's own srun
# (pyxis), once for each of them: a rank. What the task needs on a node besides, its folder and files,
# is made on each node of the allocation beforehand. For both, the task's own script is started there
# with HPCCTR_PART set:
#
#   node      makes the task's folder on this node, with all that a rank needs
#   rank      becomes one rank
#   signal    passes HPCCTR_SIGNAL on to the ranks of this node
#   clean     tells what went wrong on this node, and removes the folder

# Where the processes meet: the first node, by a name or address that reaches it from the others, and a
# port that is the job's own, as Enroot's hook for PyTorch chooses it, above those of clients.
hpcctr_find_meeting() {
  local name=${SLURMD_NODENAME-} node
  if [[ ! ${HPCCTR_MASTER-} ]]; then
    [[ $name ]] || read -r name </proc/sys/kernel/hostname
    if ! getent hosts "$name" >/dev/null; then
      if ((!hpcctr_wide)); then
        name=127.0.0.1
      elif node=$(scontrol show node "$name") && [[ $node =~ NodeAddr=([^ ]+) ]]; then
        name=${BASH_REMATCH[1]}
      fi
    fi
    HPCCTR_MASTER=$name
  fi
  hpcctr_meeting="export MASTER_ADDR='$HPCCTR_MASTER' MASTER_PORT=$((61000 + ${SLURM_JOB_ID:-$$} % 4536))
export NNODES=${SLURM_JOB_NUM_NODES:-1}
"
  # A command that starts its ranks itself would hand the first one's numbers on to all of them.
  ((!hpcctr_ranks)) || hpcctr_meeting+='export NODE_RANK="${SLURM_NODEID:-0}"
export RANK="${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-${SLURM_PROCID:-0}}}"
export LOCAL_RANK="${OMPI_COMM_WORLD_LOCAL_RANK:-${MPI_LOCALRANKID:-${SLURM_LOCALID:-0}}}"
export WORLD_SIZE="${OMPI_COMM_WORLD_SIZE:-${PMI_SIZE:-${SLURM_STEP_NUM_TASKS:-${SLURM_NTASKS:-1}}}}"
'
}

# Run a part once on every node of the allocation; keep what they print. A step takes its shape from
# the job's variables, too: those are about the ranks.
hpcctr_on_nodes() {
  local nodes=$SLURM_JOB_NUM_NODES
  hpcctr_said=$(
    unset ${!SLURM_NTASKS@} SLURM_NPROCS SLURM_TASKS_PER_NODE SLURM_CPUS_PER_TASK SLURM_TRES_PER_TASK \
      SLURM_CPUS_PER_GPU SLURM_GPUS_PER_TASK SLURM_DISTRIBUTION ${!SLURM_MEM_@}
    export HPCCTR_PART=$1 HPCCTR_SIGNAL=${2-} HPCCTR_MASTER HPCCTR_REPEAT
    exec srun --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 --cpus-per-task=1 --overlap --mem=0 \
      --mpi=none --input=none /bin/bash "$hpcctr_script"
  )
}

# Make ready all nodes.
hpcctr_prepare() {
  local launcher=${hpcctr_launcher[0]-}
  [[ ! -e $hpcctr_marker.failed ]] || rm -f -- "$hpcctr_marker.failed"
  if [[ $launcher ]] && ! type -P "$launcher" >/dev/null; then
    hpcctr_fail launcher_missing "$launcher"; return
  fi
  if [[ ${launcher##*/} == srun && ! ${SLURM_JOB_ID-} ]]; then # it would ask Slurm for a job of its own
    hpcctr_fail no_slurm_job "$launcher starts processes of a Slurm job, and this is none"; return
  fi
  hpcctr_find_meeting
  if ((!hpcctr_wide)); then
    hpcctr_check_node && hpcctr_make_scratch && { ((!hpcctr_ranks)) || hpcctr_write_for_ranks; }
    return
  fi
  hpcctr_make_scratch && printf '%s\n' "$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}" >"$hpcctr_scratch/job" || return
  hpcctr_on_nodes node || { hpcctr_hear "$hpcctr_said"; return 1; }
  ((hpcctr_ranks)) || hpcctr_check_node
}

# Take the first report of a node: a word and a sentence, as hpcctr_fail has them.
hpcctr_hear() {
  local word detail
  while read -r word detail; do
    [[ $word != setup:* ]] || { hpcctr_setup=${word#setup:} hpcctr_detail=$detail; return; }
  done <<<"$1"
  hpcctr_setup=scratch hpcctr_detail="a node of the allocation did not answer, see the log"
}

hpcctr_write_for_ranks() {
  if ((${#hpcctr_launch[@]})); then
    hpcctr_write_inside && hpcctr_engine_env && hpcctr_once || return
  else
    { printf '%s%s' "$hpcctr_meeting" "$hpcctr_declared" >"$hpcctr_scratch/environment" \
      && printf '%s\n' "$hpcctr_command" >"$hpcctr_scratch/command"; } || hpcctr_fail scratch "cannot write to $hpcctr_scratch"
  fi && readlink /proc/self/ns/mnt /proc/self/ns/pid >"$hpcctr_scratch/namespaces"
}

hpcctr_start_ranks() {
  local inside=(/bin/sh "$hpcctr_library/inside.sh" "$hpcctr_scratch" "$hpcctr_workdir" "$hpcctr_shell" '' '' "$hpcctr_marker.failed")
  hpcctr_engine_env
  set -m
  if ((${#hpcctr_launcher[@]})); then
    (
      unset SLURM_TRES_PER_TASK
      exec "${hpcctr_launcher[@]}" /usr/bin/env HPCCTR_PART=rank /bin/bash "$hpcctr_script"
    ) </dev/null &
  else
    env -i "${hpcctr_process_env[@]}" "${hpcctr_launch[@]}" "${inside[@]}" </dev/null &
  fi
  hpcctr_pid=$! hpcctr_target=$!
  set +m
}

# One failed rank ends the others: what counts is the exit code of the first, and srun's (which is the
# greatest) only where no rank came so far.
hpcctr_read_ranks() {
  local code
  if read -r code 2>/dev/null <"$hpcctr_marker.failed"; then
    rm -f -- "$hpcctr_marker.failed"
    hpcctr_code=$code
  fi
}

hpcctr_clean_nodes() {
  [[ -O $hpcctr_scratch/job ]] || return 0
  hpcctr_on_nodes clean
  [[ $hpcctr_said != setup:* || $hpcctr_setup ]] || hpcctr_hear "$hpcctr_said"
}

# Make ready the next repeat of a benchmark, whose command is another.
hpcctr_next_repeat() {
  HPCCTR_REPEAT=$1
  if ((hpcctr_wide)); then
    hpcctr_on_nodes node || { hpcctr_hear "$hpcctr_said"; return 1; }
  else
    hpcctr_write_for_ranks
  fi
}

# --- the parts, on each node -------------------------------------------------------------

hpcctr_become_part() {
  [[ ! ${HPCCTR_REPEAT-} ]] || hpcctr_command=${hpcctr_again[HPCCTR_REPEAT]}
  export -n HPCCTR_PART HPCCTR_SIGNAL HPCCTR_MASTER HPCCTR_REPEAT
  "hpcctr_part_$1"
  exit
}

hpcctr_part_node() {
  local mark=
  hpcctr_find_meeting
  [[ ! -O $hpcctr_scratch/job ]] || read -r mark <"$hpcctr_scratch/job"
  # It is there already on the first node, and on others that share its /tmp.
  if [[ $mark != "$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}" ]]; then
    hpcctr_make_scratch && printf '%s\n' "$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}" >"$hpcctr_scratch/job"
  fi && { ((!hpcctr_ranks)) || { hpcctr_check_node && hpcctr_write_for_ranks; }; } && return
  printf '%s\n' "setup:$hpcctr_setup $hpcctr_detail"
  return 1
}

hpcctr_part_rank() {
  local name outside numbers file=$hpcctr_scratch/rank.$$ gpus=$hpcctr_gpus
  hpcctr_gpus=0 # those of the node were checked; a rank may have none
  hpcctr_check_node || { printf '%s\n' "$hpcctr_setup" "$hpcctr_detail" >"$hpcctr_scratch/setup-failed"; return 1; }
  hpcctr_gpus=$gpus
  for name in ${!SLURM_@} ${!PMI@} ${!OMPI_@} ${!MPI_LOCAL@} SLURMD_NODENAME CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HIP_VISIBLE_DEVICES GPU_DEVICE_ORDINAL; do
    [[ -z ${!name+x} ]] || hpcctr_export_line "$name"
  done >"$file"
  { read -r outside; read -r numbers; } <"$hpcctr_scratch/namespaces"
  local inside=(/bin/sh "$hpcctr_library/inside.sh" "$hpcctr_scratch" "$hpcctr_workdir" "$hpcctr_shell" "$outside" "$numbers" "$hpcctr_marker.failed" "$file")
  if ((${#hpcctr_launch[@]} == 0)); then
    inside[5]=host
    ((!hpcctr_clean)) || hpcctr_clear_host
    exec "${inside[@]}"
  fi
  hpcctr_engine_env
  for name in ${!PMI@} ${!OMPI_@}; do hpcctr_process_env+=("$name=${!name}"); done
  exec env -i "${hpcctr_process_env[@]}" "${hpcctr_launch[@]}" "${inside[@]}"
}

hpcctr_part_signal() {
  hpcctr_target=
  hpcctr_forward_here "$HPCCTR_SIGNAL"
}

hpcctr_part_clean() {
  local word detail
  [[ -O $hpcctr_scratch ]] || return 0
  if [[ -s $hpcctr_scratch/setup-failed ]]; then
    { IFS= read -r word; IFS= read -r detail; } <"$hpcctr_scratch/setup-failed"
    printf '%s\n' "setup:$word $detail"
  fi
  if ((hpcctr_ranks && ${#hpcctr_launch[@]})); then
    hpcctr_engine_env
    hpcctr_after
  fi
  rm -rf -- "$hpcctr_scratch" 2>/dev/null
}

# How a task runs on a compute node. Each task script sets the variables below, then calls
# hpcctr_run. Needs bash 4.2 and coreutils; nothing of Snakemake, no Python.
#
#   hpcctr_task       number of the task within its run: SUBMISSION.INDEX
#   hpcctr_marker     path of the exit marker, without the restart count that is appended
#   hpcctr_workdir    where the command starts, outside and inside of a container
#   hpcctr_shell      program that reads the command
#   hpcctr_scratch    the task's own folder on this node: made here, removed at the end
#   hpcctr_tmpdir     value of TMPDIR; made if it is missing
#   hpcctr_gpus       how many GPUs the task asked for
#   hpcctr_pass       names of variables that enter the container in any case
#   hpcctr_clean      1: no other variable of the submitting environment enters the container
#   hpcctr_engine     the engine's program; must be found on this node
#   hpcctr_substitute a program to use where that one is missing, or empty
#   hpcctr_image      path of the image, or empty
#   hpcctr_sources    paths that must exist on this node (sources of binds)
#   hpcctr_launch     the engine's command line; empty: the command runs on the host itself
#   hpcctr_launch_env NAME=VALUE for the engine's own process
#   hpcctr_declared   `export` lines of what the command must find
#   hpcctr_command    the command
#   hpcctr_measured   1: a command with `benchmark:`, see measure.sh; may be unset
#   hpcctr_ranks      1: started once for each of the allocation's processes, see ranks.sh; may be unset
#   hpcctr_launcher   what starts them, unless the engine does; may be unset
# and the functions hpcctr_files (writes the engine's files), hpcctr_once (work done once per node)
# and hpcctr_after (clean-up).

hpcctr_signalled=

# Stop before the command has started: a word for the diagnosis, then a sentence for people.
hpcctr_fail() {
  hpcctr_setup=$1 hpcctr_detail=$2
  printf 'hpcctr: %s: %s\n' "$1" "$2" >&2
  return 1
}

# Read a here-document into a variable, byte for byte: in a UTF-8 locale bash loses or invents
# bytes around invalid sequences.
hpcctr_read() {
  local LC_ALL=C
  IFS= read -r -d '' "$1"
  printf -v "$1" %s "${!1%$'\n'}"
}

hpcctr_now() {
  if [[ ${EPOCHREALTIME-} ]]; then
    hpcctr_time=${EPOCHREALTIME/,/.}
  else
    printf -v hpcctr_time '%(%s)T' -1
  fi
}

hpcctr_check_node() {
  local source
  for source in "${hpcctr_sources[@]}"; do
    [[ -e $source ]] || { hpcctr_fail bind_missing "$source"; return; }
  done
  [[ -d $hpcctr_workdir ]] || { hpcctr_fail workdir_missing "$hpcctr_workdir"; return; }
  if [[ $hpcctr_engine ]] && ! type -P "$hpcctr_engine" >/dev/null; then
    [[ $hpcctr_substitute ]] && type -P "$hpcctr_substitute" >/dev/null \
      || { hpcctr_fail engine_missing "$hpcctr_engine"; return; }
    hpcctr_launch[0]=$hpcctr_substitute
  fi
  if [[ $hpcctr_image && ! -e $hpcctr_image ]]; then
    hpcctr_fail image_missing "$hpcctr_image"; return
  fi
  ((hpcctr_gpus == 0)) || hpcctr_check_gpu
}

# Slurm names the GPUs of a job in one of these variables.
hpcctr_check_gpu() {
  local visible=${CUDA_VISIBLE_DEVICES-${ROCR_VISIBLE_DEVICES-${GPU_DEVICE_ORDINAL-}}}
  if [[ ! $visible || $visible == NoDevFiles ]]; then
    hpcctr_fail no_gpu "the task asked for $hpcctr_gpus GPU(s), and the allocation on $HOSTNAME shows none"
  fi
}

# A folder of that name may be left from a first run that Slurm started again; it is ours, or refused.
hpcctr_make_scratch() {
  [[ ! -e $hpcctr_scratch || ! -O $hpcctr_scratch ]] || rm -rf -- "$hpcctr_scratch"
  [[ -d ${hpcctr_scratch%/*} ]] || mkdir -p -- "${hpcctr_scratch%/*}"
  # One process for both folders; -m holds for each of them.
  mkdir -m 700 -- "$hpcctr_scratch" "$hpcctr_scratch/tmp" \
    && { [[ -d $hpcctr_tmpdir ]] || mkdir -p -- "$hpcctr_tmpdir"; } \
    || hpcctr_fail scratch "cannot make the folder $hpcctr_scratch on $HOSTNAME"
}

# Copy what the task asks to have on this node's own disk (see stage.sh).
hpcctr_stage() {
  [[ ! ${hpcctr_stage_to-} ]] || hpcctr_stage_image
  ((${#hpcctr_stage_in[@]} + ${#hpcctr_stage_out[@]} == 0)) || hpcctr_stage_data
}

# Write what the inside part of a contained task needs: its environment and its command.
# Ambient variables are set only where the image sets none; the allocation's and the task's
# own are set in any case. Those that describe the host's software stay outside.
hpcctr_write_inside() {
  local name quote="'" escaped="'\\''"
  {
    # pyxis hands the host's PATH on where the image sets none.
    printf "[ \"\$PATH\" != '%s' ] || PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n" \
      "${PATH//$quote/$escaped}"
    # Apptainer hands its own process's variables on, these are about the node.
    printf 'unset XDG_RUNTIME_DIR APPTAINER_CACHEDIR APPTAINER_TMPDIR SINGULARITY_CACHEDIR SINGULARITY_TMPDIR\n'
    ((! hpcctr_clean)) || printf 'unset http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY\n'
    if ((! hpcctr_clean)); then
      for name in $(compgen -e); do
        case $name in
          PATH | HOME | PWD | OLDPWD | SHELL | SHLVL | USER | LOGNAME | HOSTNAME | MAIL | TERM | _) ;;
          TMPDIR | TMP | TEMP | TEMPDIR | XDG_* | DBUS_* | SSH_* | DISPLAY | XAUTHORITY | LS_COLORS) ;;
          LD_* | PYTHONPATH | PYTHONHOME | PYTHONSTARTUP | PERL5LIB | PERLLIB | R_HOME | R_LIBS* | CONDA_* | VIRTUAL_ENV) ;;
          MODULE* | LMOD* | _LM* | __LM* | LOADEDMODULES | MANPATH | INFOPATH | BASH* | PS[0-9] | PROMPT_COMMAND) ;;
          APPTAINER* | SINGULARITY* | ENROOT_* | PYXIS_* | NVIDIA_VISIBLE_DEVICES | NVIDIA_DRIVER_CAPABILITIES) ;;
          SLURM* | SBATCH_* | SRUN_* | CUDA_VISIBLE_DEVICES | ROCR_VISIBLE_DEVICES | HIP_VISIBLE_DEVICES | GPU_DEVICE_ORDINAL) ;;
          *) printf '[ -n "${%s+x}" ] || ' "$name"; hpcctr_export_line "$name" ;;
        esac
      done
    fi
    # Packages in ~/.local are the host's; Enroot without a mounted home sets no HOME.
    printf '[ -n "${PYTHONNOUSERSITE+x}" ] || export PYTHONNOUSERSITE=1\n'
    printf '[ -n "${HOME+x}" ] || '
    hpcctr_export_line HOME
    ((hpcctr_ranks)) || for name in ${!SLURM_@} CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HIP_VISIBLE_DEVICES GPU_DEVICE_ORDINAL; do
      [[ -z ${!name+x} ]] || hpcctr_export_line "$name"
    done
    for name in "${hpcctr_pass[@]}"; do
      [[ -z ${!name+x} ]] || hpcctr_export_line "$name"
    done
    printf '%s%s' "$hpcctr_meeting" "$hpcctr_declared"
  } >"$hpcctr_scratch/environment" \
    && printf '%s\n' "$hpcctr_command" >"$hpcctr_scratch/command" \
    && printf '%s\n' "${hpcctr_command/#set -euo pipefail;/set -eu;}" >"$hpcctr_scratch/command.sh" \
    && hpcctr_files || hpcctr_fail scratch "cannot write to $hpcctr_scratch"
}

# One `export NAME='value'` line that sh, dash and busybox read back byte for byte.
hpcctr_export_line() {
  local quote="'" escaped="'\\''"
  printf "export %s='%s'\n" "$1" "${!1//$quote/$escaped}"
}

# The engine's process sees only these variables, so that a line in somebody's .bashrc
# (APPTAINER_BIND=…, ENROOT_…=…) cannot change a task.
hpcctr_engine_env() {
  local name nvidia=void
  ((hpcctr_gpus)) && [[ -e /dev/nvidiactl ]] && nvidia=all
  hpcctr_process_env=("NVIDIA_VISIBLE_DEVICES=$nvidia" NVIDIA_DRIVER_CAPABILITIES=compute,utility)
  for name in PATH HOME USER LOGNAME TERM XDG_RUNTIME_DIR APPTAINER_CACHEDIR APPTAINER_TMPDIR \
    SINGULARITY_CACHEDIR SINGULARITY_TMPDIR http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY \
    CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES GPU_DEVICE_ORDINAL ${!SLURM_@}; do
    # A step inherits its request from the job by itself; a second copy that differs is refused.
    [[ -z ${!name+x} || $name == SLURM_TRES_PER_TASK ]] || hpcctr_process_env+=("$name=${!name}")
  done
  hpcctr_process_env+=("${hpcctr_launch_env[@]}")
}

hpcctr_start() {
  if ((hpcctr_ranks)); then
    hpcctr_start_ranks
    return
  fi
  if ((${#hpcctr_launch[@]} == 0)); then
    hpcctr_start_on_host
    return
  fi
  hpcctr_write_inside && hpcctr_engine_env && hpcctr_once && hpcctr_line || return
  set -m
  "${hpcctr_words[@]}" </dev/null &
  hpcctr_pid=$! hpcctr_target=$!
  set +m
}

# The command line that starts the container and, in it, inside.sh.
hpcctr_line() {
  local outside numbers
  { read -r outside; read -r numbers; } < <(readlink /proc/self/ns/mnt /proc/self/ns/pid)
  hpcctr_words=(env -i "${hpcctr_process_env[@]}" "${hpcctr_launch[@]}"
    /bin/sh "$hpcctr_library/inside.sh" "$hpcctr_scratch" "$hpcctr_workdir" "$hpcctr_shell" "$outside" "$numbers")
}

# `set -m` gives the command a process group of its own (and keeps bash from ignoring SIGINT in
# it).
hpcctr_start_on_host() {
  set -m
  (hpcctr_become_command) </dev/null &
  hpcctr_pid=$! hpcctr_target=-$!
  set +m
}

# In a subshell: become the command of a task that runs on the host.
hpcctr_become_command() {
  ((!hpcctr_clean)) || hpcctr_clear_host
  eval "$hpcctr_meeting$hpcctr_declared"
  cd -- "$hpcctr_workdir" || exit
  if ((${#hpcctr_command} < 30000)); then # characters of up to 4 bytes; the kernel takes 128 KiB
    exec "$hpcctr_shell" -c "$hpcctr_command"
  fi
  printf '%s\n' "$hpcctr_command" >"$hpcctr_scratch/command" && exec "$hpcctr_shell" "$hpcctr_scratch/command"
}

# With clean_env a command on the host keeps what the engine's process would get.
hpcctr_clear_host() {
  local name
  for name in $(compgen -e); do
    case " PATH HOME USER LOGNAME SHELL TERM CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HIP_VISIBLE_DEVICES GPU_DEVICE_ORDINAL ${!SLURM_@} ${hpcctr_pass[*]} " in
      *" $name "*) ;;
      *) unset -v "$name" ;;
    esac
  done
  while read -r _ _ name; do unset -f "$name"; done < <(declare -Fx)
}

# A signal goes to the processes of the command and to no other: the image may be mounted by one
# that would die of it, and srun ends its step on TERM. A command that cannot be seen from here (in
# a PID namespace, on another node) is told by its engine; where the kernel lists no children, a
# command on the host is told as a group. A signal to end that comes before the command's start is
# kept for it (others are warnings).
hpcctr_forward() {
  hpcctr_signalled=$1
  if [[ ! ${hpcctr_target-} ]]; then
    [[ $1 != TERM && $1 != INT ]] || hpcctr_pending=$1
  elif ((hpcctr_ranks && hpcctr_wide)); then
    hpcctr_on_nodes signal "$1" || hpcctr_forward_here "$1"
  else
    hpcctr_forward_here "$1"
  fi
}

hpcctr_forward_here() {
  local first others line lines=() seen= told=()
  if ((${#hpcctr_launch[@]} == 0 && !hpcctr_ranks)); then
    lines=("$hpcctr_pid")
  elif [[ -s $hpcctr_scratch/pid ]]; then
    mapfile -t lines <"$hpcctr_scratch/pid"
  fi
  for line in "${lines[@]}"; do
    first=${line%% *} others=${line#"$first"}
    [[ $first && -r /proc/$first/task/$first/children ]] || continue
    seen=1
    hpcctr_audience "$1" "$(kill -l "$1")" "$first" 2>/dev/null
  done
  if [[ $seen ]]; then
    ((${#told[@]} == 0)) || kill -s "$1" "${told[@]}" 2>/dev/null
  elif [[ $hpcctr_target ]]; then
    kill -s "$1" -- "$hpcctr_target" 2>/dev/null
  fi
}

# Collect whom to tell of a process and its children, parents first; succeed if one of them catches
# the signal. One that does not, such as a shell around a program that saves its work, would die of
# it and leave the program alone: it is spared. A warning goes only to those that catch it.
hpcctr_audience() {
  local child list name value caught=0 nobody=1
  for list in /proc/"$3"/task/*/children; do
    read -r value <"$list"
    for child in $value; do
      [[ " $others " != *" $child "* ]] && hpcctr_audience "$1" "$2" "$child" && nobody=0
    done
  done
  while read -r name value; do
    [[ $name != SigCgt: ]] || ((caught = 16#$value >> ($2 - 1) & 1))
  done </proc/"$3"/status
  if ((caught)) || { ((nobody)) && [[ $1 != USR? ]]; }; then
    told=("$3" "${told[@]}")
  fi
  ((caught)) || return "$nobody"
}

# `wait` ends early when a trapped signal arrives: wait again until the command really ended.
hpcctr_wait() {
  [[ ! $hpcctr_pending ]] || hpcctr_forward "$hpcctr_pending"
  while :; do
    hpcctr_signalled=
    # Without the redirection bash would tell the user's log how a killed command was started.
    wait "$hpcctr_pid" 2>/dev/null
    hpcctr_code=$?
    [[ $hpcctr_signalled ]] || return 0
  done
}

# Peak memory and processes killed for memory, from the cgroup that Slurm made for this step.
hpcctr_read_memory() {
  local line folder=
  hpcctr_peak= hpcctr_oom=0
  [[ ${SLURM_JOB_ID-} && ${HPCCTR_SCHEDULER-} != local && -r /proc/self/cgroup ]] || return 0
  while IFS= read -r line; do
    case $line in
      *:memory:*/job_"$SLURM_JOB_ID"/*) folder=/sys/fs/cgroup/memory${line#*:memory:} ;;
      0::*/job_"$SLURM_JOB_ID"/*) [[ $folder ]] || folder=/sys/fs/cgroup${line#0::} ;;
    esac
  done </proc/self/cgroup
  [[ $folder ]] || return 0
  folder=${folder%/task_*}
  for line in "$folder/memory.peak" "$folder/memory.max_usage_in_bytes"; do
    [[ ! -r $line ]] || IFS= read -r hpcctr_peak <"$line"
  done
  for line in "$folder/memory.events" "$folder/memory.oom_control"; do
    [[ ! -r $line ]] || while read -r name count; do
      [[ $name != oom_kill ]] || hpcctr_oom=$count
    done <"$line"
  done
}

# The marker appears whole or not at all; a job that Slurm started again writes another one.
hpcctr_write_marker() {
  local path=$hpcctr_marker.${SLURM_RESTART_COUNT:-0}
  hpcctr_now
  hpcctr_read_memory
  # In an element of several tasks the cgroup counts them all: what was there before is not ours.
  ((hpcctr_oom -= hpcctr_oom_before))
  # Not by $(times): a subshell has no children to count.
  times >"$path.part" && { read -r _ _; read -r hpcctr_user hpcctr_system; } <"$path.part"
  printf '%s\n' "exit=$hpcctr_code" "setup=${hpcctr_setup-}" "started=$hpcctr_started" "ended=$hpcctr_time" \
    "host=${SLURMD_NODENAME:-$HOSTNAME}" "job=${SLURM_JOB_ID-}" "user=${hpcctr_user-}" "system=${hpcctr_system-}" \
    "peak=$hpcctr_peak" "oom=$hpcctr_oom" ${hpcctr_records:+"measured=$hpcctr_records"} \
    "signal=${hpcctr_last_signal-}" "detail=${hpcctr_detail//$'\n'/ }" >"$path.part" && mv -f -- "$path.part" "$path"
}

hpcctr_run() {
  local signal part=${HPCCTR_PART-}
  hpcctr_setup= hpcctr_detail= hpcctr_code=1 hpcctr_pid= hpcctr_pending= hpcctr_last_signal= hpcctr_records= hpcctr_process_env=()
  hpcctr_library=${BASH_SOURCE[0]%/*} hpcctr_script=${BASH_SOURCE[1]} hpcctr_meeting=
  hpcctr_ranks=${hpcctr_ranks:-0} hpcctr_wide=$((${SLURM_JOB_NUM_NODES:-1} > 1))
  [[ ${HPCCTR_SCHEDULER-} != local ]] || hpcctr_wide=0 # the nodes are those of the job around all tasks
  if ((hpcctr_ranks || hpcctr_wide)); then
    source "$hpcctr_library/ranks.sh" || return
    [[ ! $part ]] || hpcctr_become_part "$part"
  fi
  hpcctr_now
  hpcctr_started=$hpcctr_time
  hpcctr_read_memory
  hpcctr_oom_before=$hpcctr_oom
  for signal in TERM INT HUP USR1 USR2; do
    trap "hpcctr_last_signal=$signal; hpcctr_forward $signal" "$signal"
  done
  hpcctr_execute
  ((${#hpcctr_stage_out[@]} == 0)) || hpcctr_stage_back
  if [[ -O $hpcctr_scratch && -s $hpcctr_scratch/setup-failed ]]; then
    { IFS= read -r hpcctr_setup; IFS= read -r hpcctr_detail; } <"$hpcctr_scratch/setup-failed"
  fi
  ((!hpcctr_ranks)) || hpcctr_read_ranks
  ((!hpcctr_wide || hpcctr_code == 0)) || hpcctr_clean_nodes
  hpcctr_write_marker
  ((!hpcctr_wide || hpcctr_code)) || hpcctr_clean_nodes
  ((hpcctr_wide || ${#hpcctr_process_env[@]} == 0)) || hpcctr_after
  [[ ! -O $hpcctr_scratch ]] || rm -rf -- "$hpcctr_scratch"
  exit "$hpcctr_code"
}

# Make the node ready, then start the command and wait for its end, once or as often as a benchmark
# repeats it.
hpcctr_execute() {
  if ((hpcctr_ranks || hpcctr_wide)); then
    hpcctr_prepare
  else
    hpcctr_check_node && hpcctr_make_scratch && hpcctr_stage
  fi || return 0
  if [[ ${hpcctr_measured-} ]]; then
    source "$hpcctr_library/measure.sh" && hpcctr_run_measured
  else
    hpcctr_start && hpcctr_wait
  fi
}

# Run the command on the caller's own streams, which may be a terminal: no log, no marker. Ctrl-C
# is the command's; this shell stays for the clean-up.
hpcctr_attach() {
  hpcctr_setup= hpcctr_code=1 hpcctr_process_env=() hpcctr_meeting= hpcctr_ranks=0 hpcctr_wide=0
  hpcctr_library=${BASH_SOURCE[0]%/*}
  trap : INT TERM HUP
  if hpcctr_check_node && hpcctr_make_scratch && hpcctr_stage; then
    if ((${#hpcctr_launch[@]} == 0)); then
      (trap - INT TERM HUP; hpcctr_become_command)
      hpcctr_code=$?
    elif hpcctr_write_inside && hpcctr_engine_env && hpcctr_once && hpcctr_line; then
      "${hpcctr_words[@]}"
      hpcctr_code=$?
    fi
  fi
  ((${#hpcctr_process_env[@]} == 0)) || hpcctr_after
  [[ ! -O $hpcctr_scratch ]] || rm -rf -- "$hpcctr_scratch"
  exit "$hpcctr_code"
}

# Run several tasks one after another in one element: pairs of script and log. Each task writes
# its own marker, and one that fails does not stop the next; a signal to end ends the series.
hpcctr_run_series() {
  local signal pid= ended= again=
  for signal in TERM INT HUP USR1 USR2; do
    trap "[[ $signal == USR* ]] || ended=1; again=1; [[ ! \$pid ]] || kill -s $signal \"\$pid\" 2>/dev/null" "$signal"
  done
  while (($# >= 2)) && [[ ! $ended ]]; do
    (trap - TERM INT HUP USR1 USR2; source "$1") >>"$2" 2>&1 &
    pid=$!
    while again= && { wait "$pid"; [[ $again ]]; }; do :; done
    shift 2
  done
}

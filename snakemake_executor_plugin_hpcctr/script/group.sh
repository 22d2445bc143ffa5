# How a group runs on a compute node: several tasks in one allocation, each as soon as those that
# it waits for have succeeded and there is room for it. A group's script sources hpcctr.sh and this,
# sets the variables below, calls group_member for each task, and then group_run.
#
#   hpcctr_marker   path of the group's own exit marker, without the restart count
#   hpcctr_workdir  the workflow's working directory
#   group_cores     CPUs of the allocation
#   group_memory    its memory in MiB; 0 where nobody asked for any
#   group_gpus      its GPUs
#   group_patience  seconds that a service may take to make its file
# Members are numbered from 0. Functions group_before_N and group_after_N, where there are any, do
# what Snakemake does around the job N and only this node can do.

group_unit=() group_service=() group_need_cores=() group_need_memory=() group_need_gpus=()
group_script=() group_log=() group_marker=() group_title=() group_after=() group_files=()
group_state=() group_pid=() group_hold=() group_until=() group_ended_by=()
group_temp=() group_takers=()
group_units=() unit_members=() unit_cores=() unit_memory=() unit_gpus=() unit_since=()

# One member: its unit (members of a unit start together), the files that it makes if it is a service,
# what it needs of the allocation (CPUs, MiB, GPUs), where its things are (script, log, marker), its
# title, the numbers of those it waits for, and then the files of services that must be there.
group_member() {
  local i=${#group_unit[@]} unit=$1
  group_unit+=("$1") group_service+=("$2")
  group_need_cores+=("$3") group_need_memory+=("$4") group_need_gpus+=("$5")
  group_script+=("$6") group_log+=("$7") group_marker+=("$8") group_title+=("$9")
  group_after+=("${10}") group_state+=(waiting)
  shift 10
  printf -v "group_files[$i]" '%s\n' "$@"
  [[ ${unit_members[unit]-} ]] || group_units+=("$unit")
  # Services stand first: they are started before those that they serve.
  if [[ ${group_service[i]} ]]; then
    unit_members[unit]="$i ${unit_members[unit]-}"
  else
    unit_members[unit]="${unit_members[unit]-} $i"
  fi
  ((unit_cores[unit] += group_need_cores[i], unit_memory[unit] += group_need_memory[i])) || :
  ((unit_gpus[unit] += group_need_gpus[i])) || :
}

# A file that is removed when certain members have succeeded.
group_temporary() {
  group_temp+=("$1")
  shift
  group_takers+=("$*")
}

# Change lines NAME=VALUE of a member's marker.
group_amend() {
  local path=${group_marker[$1]}.${SLURM_RESTART_COUNT:-0} line change lines=()
  shift
  [[ -e $path ]] || return 0
  while IFS= read -r line; do
    for change; do [[ ${line%%=*} != "${change%%=*}" ]] || line=${change//$'\n'/ }; done
    lines+=("$line")
  done <"$path"
  printf '%s\n' "${lines[@]}" >"$path.part" && mv -f -- "$path.part" "$path"
}

# --- starting -----------------------------------------------------------------------------------

group_start_what_fits() {
  local unit index
  ((group_failed)) || [[ $group_ending ]] && { group_units=(); return; }
  for index in "${!group_units[@]}"; do
    ((group_free_cores > 0)) || return 0
    unit=${group_units[index]}
    if group_is_ready "$unit" && group_has_room "$unit"; then
      unset -v "group_units[$index]"
      group_admit "$unit"
    fi
  done
}

group_is_ready() {
  local i before
  for i in ${unit_members[$1]}; do
    for before in ${group_after[i]}; do
      [[ ${group_state[before]} == ok ]] || return 1
    done
  done
}

# What needs more than there is runs alone.
group_has_room() {
  ((group_busy == 0)) && return
  ((unit_cores[$1] <= group_free_cores && unit_gpus[$1] <= ${#group_free_gpus[@]})) &&
    ((group_memory == 0 || unit_memory[$1] <= group_free_memory))
}

group_admit() {
  local i
  unit_since[$1]=$SECONDS
  for i in ${unit_members[$1]}; do
    ((group_busy += 1, group_free_cores -= group_need_cores[i])) || :
    ((group_free_memory -= group_need_memory[i])) || :
    group_hold[i]=${group_free_gpus[*]:0:group_need_gpus[i]}
    group_free_gpus=("${group_free_gpus[@]:group_need_gpus[i]}")
    group_state[i]=held
  done
  group_start_held "$1"
}

# Start the members of a unit whose services have made their files.
group_start_held() {
  local i file
  for i in ${unit_members[$1]}; do
    [[ ${group_state[i]} == held ]] || continue
    while IFS= read -r file; do
      [[ ! $file || -e $file ]] || { group_mind_service "$1" "$file"; continue 2; }
    done <<<"${group_files[i]}"
    [[ ${group_state[i]} != held ]] || group_start "$i"
  done
}

# A service may end, or take too long, before its file is there.
group_mind_service() {
  local i
  group_waits=1
  for i in ${unit_members[$1]}; do
    [[ $'\n'${group_service[i]}$'\n' == *$'\n'"$2"$'\n'* ]] || continue
    if [[ ${group_state[i]} == ok ]]; then
      group_fail "$i" 1 service_silent "$2"
    elif ((SECONDS - unit_since[$1] >= group_patience)); then
      group_blame[i]=$2
      group_end_unit "$1" "${group_title[i]}"
    fi
  done
}

group_start() {
  local i=$1
  group_state[i]=running
  (
    exec {group_events}>&-
    trap - TERM INT HUP USR1 USR2
    trap "echo $i 2>/dev/null >/proc/$$/fd/$group_events" EXIT
    group_show_gpus
    if declare -F "group_before_$i" >/dev/null; then
      "group_before_$i" || exit
    fi
    source "${group_script[i]}"
  ) >>"${group_log[i]}" 2>&1 &
  group_pid[i]=$!
}

# Of the allocation's GPUs each member sees its own.
group_show_gpus() {
  local name ids mine at
  ((group_gpus)) || return 0
  for name in CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HIP_VISIBLE_DEVICES GPU_DEVICE_ORDINAL; do
    [[ ${!name+x} ]] || continue
    IFS=, read -r -a ids <<<"${!name}"
    mine=()
    for at in ${group_hold[i]}; do mine+=("${ids[at]}"); done
    export "$name=$(IFS=,; echo "${mine[*]}")"
  done
}

# --- ending -------------------------------------------------------------------------------------

# Wait for something to happen: a member's end, a signal, or a while.
group_await() {
  local i= waits=$group_waits period=1
  ((!waits)) || period=0.1
  group_waits=0
  read -r -t "$period" -u "$group_events" i
  if [[ $i ]]; then
    [[ ! ${group_pid[i]-} ]] || group_collect "$i"
  else
    group_look
  fi
  ((waits)) || return 0
  for i in "${!group_state[@]}"; do
    [[ ${group_state[i]} != held ]] || group_start_held "${group_unit[i]}"
  done
}

# A member may have been killed before it could say that it ends, or may not end when told to.
group_look() {
  local i
  for i in "${!group_pid[@]}"; do
    if ! kill -0 "${group_pid[i]}" 2>/dev/null; then
      group_collect "$i"
    elif [[ ${group_until[i]-} ]] && ((SECONDS >= group_until[i])); then
      group_kill_below "${group_pid[i]}"
    fi
  done
}

group_collect() {
  local i=$1 code
  while group_again= && { wait "${group_pid[i]}" 2>/dev/null; code=$?; [[ $group_again ]]; }; do :; done
  unset -v "group_pid[$i]" "group_until[$i]"
  group_release "$i"
  group_judge "$i" "$code"
  [[ ${group_state[i]} != ok ]] || group_drop_temporary "$i"
  group_end_services "${group_unit[i]}"
}

group_drop_temporary() {
  local at taker
  for at in "${!group_temp[@]}"; do
    [[ " ${group_takers[at]} " == *" $1 "* ]] || continue
    for taker in ${group_takers[at]}; do
      [[ ${group_state[taker]} == ok ]] || continue 2
    done
    rm -rf -- "${group_temp[at]}"
    unset -v "group_temp[$at]"
  done
}

group_release() {
  ((group_busy -= 1, group_free_cores += group_need_cores[$1])) || :
  ((group_free_memory += group_need_memory[$1])) || :
  group_free_gpus+=(${group_hold[$1]})
}

# Decide what a member's end means, and correct its marker where the exit code does not say it.
group_judge() {
  local i=$1 code=$2 missing=
  if [[ ${group_blame[i]-} ]]; then
    group_fail "$i" 1 service_silent "${group_blame[i]}"
  elif [[ ${group_ended_by[i]-} == - ]]; then
    group_amend "$i" exit=0
    group_state[i]=ok
  elif ((code)) && [[ ${group_ended_by[i]-} ]] && group_was_told "$i"; then
    group_fail "$i" "$code" partner_failed "${group_ended_by[i]}"
  elif ((code)); then
    group_fail "$i" "$code"
  elif declare -F "group_after_$i" >/dev/null && ! missing=$("group_after_$i" 2>>"${group_log[i]}"); then
    group_fail "$i" 1 output_missing "$missing"
  else
    group_state[i]=ok
  fi
}

# Whether a signal came while a member's command ran; it may have ended by itself just before.
group_was_told() {
  local line path=${group_marker[$1]}.${SLURM_RESTART_COUNT:-0}
  [[ -e $path ]] || return 0
  while IFS= read -r line; do
    [[ $line != signal=?* ]] || return 0
  done <"$path"
  return 1
}

# A member failed: nothing starts any more, and its partners end.
#   group_fail NUMBER CODE [WORD DETAIL]
group_fail() {
  group_state[$1]=failed group_failed=1
  group_code=${group_code:-$2}
  (($# < 3)) || group_amend "$1" "setup=$3" "detail=$4"
  group_end_unit "${group_unit[$1]}" "${group_title[$1]}"
}

group_end_unit() {
  local i
  for i in ${unit_members[$1]}; do
    case ${group_state[i]} in
      held) group_state[i]=waiting; group_release "$i" ;;
      running) group_end "$i" "$2" 10 ;;
    esac
  done
}

# End the services of a unit when all that they serve have ended, the last that started first.
group_end_services() {
  local i services=
  for i in ${unit_members[$1]}; do
    if [[ ${group_service[i]} ]]; then
      services="$i $services"
    elif [[ ${group_state[i]} == held || ${group_state[i]} == running ]]; then
      return
    fi
  done
  for i in $services; do
    [[ ${group_state[i]} != running ]] || group_end "$i" - 30
  done
}

# Tell a member to end: by whose failure (- for none), and how many seconds it has.
group_end() {
  [[ ! ${group_ended_by[$1]-} ]] || return 0
  group_ended_by[$1]=$2 group_until[$1]=$((SECONDS + $3))
  kill -s TERM "${group_pid[$1]}" 2>/dev/null
}

# Kill the processes of a member's script, but not the script: it writes the marker.
group_kill_below() {
  local list child
  for list in /proc/"$1"/task/*/children; do
    for child in $(<"$list"); do
      group_kill_below "$child"
      kill -s KILL "$child"
    done
  done 2>/dev/null
}

group_forward() {
  local i
  group_again=1 hpcctr_last_signal=$1
  [[ $1 == USR? ]] || group_ending=1
  for i in "${!group_pid[@]}"; do kill -s "$1" "${group_pid[i]}" 2>/dev/null; done
}

group_run() {
  local i signal group_events group_again group_ending= group_code= group_waits=0 group_failed=0
  local group_busy=0 group_free_cores group_free_memory=$group_memory group_free_gpus=() group_blame=()
  hpcctr_setup= hpcctr_detail=
  hpcctr_now
  hpcctr_started=$hpcctr_time
  hpcctr_read_memory
  hpcctr_oom_before=$hpcctr_oom
  cd -- "$hpcctr_workdir" || hpcctr_fail workdir_missing "$hpcctr_workdir" || group_failed=1
  # A smaller machine than asked for may stand behind the scheduler `local`.
  group_free_cores=$(OMP_NUM_THREADS= OMP_THREAD_LIMIT= nproc)
  ((group_free_cores <= group_cores)) || group_free_cores=$group_cores
  for ((i = 0; i < group_gpus; i++)); do group_free_gpus+=("$i"); done
  for i in "${!group_marker[@]}"; do rm -f -- "${group_marker[i]}".*; done
  exec {group_events}<> <(:)
  for signal in TERM INT HUP USR1 USR2; do trap "group_forward $signal" "$signal"; done
  while group_start_what_fits; ((group_busy)); do group_await; done
  for i in "${!group_state[@]}"; do
    [[ ${group_state[i]} == ok ]] || group_code=${group_code:-1}
  done
  [[ ${group_code:-1} != 0 ]] || group_code=1
  hpcctr_code=${group_code:-0}
  hpcctr_write_marker
  exit "$hpcctr_code"
}

# --- what Snakemake does around a job -------------------------------------------------------------

# Remove files of this node that an earlier run left, and make their folders.
group_make_room() {
  local file
  rm -rf -- "$@" || return
  for file; do mkdir -p -- "$(dirname -- "$file")" || return; done
}

# Bring a shadow folder up to date: inputs that other members made are not in it yet.
#   group_renew_shadow KIND FOLDER INPUT…
group_renew_shadow() {
  local kind=$1 folder=$2 file
  shift 2
  for file; do
    [[ $kind == *minimal && $file != /* && ! -e $folder/$file ]] || continue
    mkdir -p -- "$(dirname -- "$folder/$file")" || return
    if [[ $kind == minimal ]]; then
      ln -sfn -- "$PWD/$file" "$folder/$file" || return
    else
      cp -r -- "$file" "$folder/$file" || return
    fi
  done
  [[ $kind != *minimal ]] || return 0
  for file in * .[!.]*; do
    [[ $file != .snakemake && -e $file ]] || continue
    if [[ $kind == full ]]; then
      cp -rsn -- "$PWD/$file" "$folder/" 2>/dev/null # some versions fail where a link is there
    elif [[ ! -e $folder/$file && ! -L $folder/$file ]]; then
      ln -s -- "$PWD/$file" "$folder/" || return
    fi
  done
}

# Move outputs and logs out of a shadow folder, and remove it; name the one that cannot be moved.
#   group_unshadow FOLDER FILE…
group_unshadow() {
  local folder=$1 file target
  shift
  for file; do
    [[ -e $folder/$file || -L $folder/$file ]] || continue
    target=$(readlink -- "$folder/$file") && [[ $target == "$folder"/* ]] &&
      ln -sfn -- "${target#"$folder"/}" "$folder/$file"
    [[ $folder/$file -ef $file ]] || mv -f -- "$folder/$file" "$file" || { echo "$file"; return 1; }
  done
  rm -rf -- "$folder"
}

group_touch() {
  local file
  for file; do
    mkdir -p -- "$(dirname -- "$file")" && touch -- "$file" || { echo "$file"; return 1; }
  done
}

# Fail with the name of the first file that is not there.
group_check_made() {
  local file
  for file; do
    [[ -e $file || -L $file ]] || { echo "$file"; return 1; }
  done
}

# What a command with `benchmark:` uses, seen from outside; sourced by hpcctr.sh for such tasks only.
# Reads /proc as Snakemake's own measurement does, twice a second at first and then ever less often,
# down to every half minute after ten; starts no process per sample.
#
#   hpcctr_again      commands of further repeats, run after hpcctr_command while none fails
#   hpcctr_records    one record per repeat, each ended by `;`: started, ended, the greatest
#                     resident, virtual, unshared and proportional memory (KiB), bytes read and
#                     written, CPU ms; `-` where nothing was seen

hpcctr_run_measured() {
  local repeat
  for ((repeat = -1; repeat < ${#hpcctr_again[@]}; repeat++)); do
    hpcctr_code=1
    if ((repeat >= 0)); then
      hpcctr_command=${hpcctr_again[repeat]}
      [[ ! -e $hpcctr_scratch/pid ]] || : >"$hpcctr_scratch/pid"
      ((!hpcctr_ranks)) || hpcctr_next_repeat "$repeat" || return
    fi
    hpcctr_start || return
    hpcctr_measure_begin
    hpcctr_wait
    hpcctr_measure_end
    ((hpcctr_code == 0)) && [[ ${hpcctr_last_signal-} != @(TERM|INT) ]] || return 0
  done
}

hpcctr_measure_begin() {
  hpcctr_now
  hpcctr_measure_started=$hpcctr_time
  hpcctr_count_cpu
  hpcctr_measure_cpu=$hpcctr_cpu
  (trap - TERM INT HUP USR1 USR2; hpcctr_sample_until_end) >"$hpcctr_scratch/samples" 2>/dev/null &
  hpcctr_sampler=$!
}

hpcctr_measure_end() {
  local sample last='- - - - - - 0' cpu
  hpcctr_now
  hpcctr_count_cpu
  kill "$hpcctr_sampler" 2>/dev/null
  wait "$hpcctr_sampler" 2>/dev/null
  while read -r sample; do last=$sample; done <"$hpcctr_scratch/samples"
  # What the kernel counted of all that ended is exact, but knows only of this script's processes.
  cpu=$((hpcctr_cpu - hpcctr_measure_cpu))
  ((cpu > ${last##* })) || cpu=${last##* }
  hpcctr_records+="$hpcctr_measure_started $hpcctr_time ${last% *} $cpu;"
}

# CPU time of all processes that this shell started and that have ended, ms.
# Not by $(times): a subshell has no children to count.
hpcctr_count_cpu() {
  local user system pattern='^([0-9]+)m([0-9]+)[.,]([0-9]{3})s$'
  times >"$hpcctr_scratch/times" && { read -r _ _; read -r user system; } <"$hpcctr_scratch/times"
  hpcctr_cpu=0
  for user in "$user" "$system"; do
    [[ $user =~ $pattern ]] || continue
    ((hpcctr_cpu += (BASH_REMATCH[1] * 60 + BASH_REMATCH[2]) * 1000 + 10#${BASH_REMATCH[3]}))
  done
}

# One line per sample: the greatest memory and CPU time so far, the bytes of now.
hpcctr_sample_until_end() {
  local root wake pause samples=0 found= top_rss=0 top_vms=0 top_uss=0 top_pss=0 top_cpu=0
  local rss vms uss pss in out ticks others base_in=0 base_out=0 base_ticks=0
  local begun=$SECONDS
  exec {wake}<> <(:) # nobody writes to it: a pause that starts no process
  while [[ -d /proc/$hpcctr_pid ]]; do
    rss=0 vms=0 uss=0 pss=0 in=0 out=0 ticks=0 others=
    hpcctr_find_roots
    for root in "${hpcctr_roots[@]}"; do hpcctr_sample "$root"; done
    if ((vms)); then
      ((samples += 1, ticks = (ticks - base_ticks) * 10, vms /= 1024, in -= base_in, out -= base_out))
      ((top_rss >= rss)) || top_rss=$rss
      ((top_vms >= vms)) || top_vms=$vms
      ((top_uss >= uss)) || top_uss=$uss
      ((top_pss >= pss)) || top_pss=$pss
      ((top_cpu >= ticks)) || top_cpu=$ticks
      printf '%s\n' "$top_rss $top_vms $top_uss $top_pss $in $out $top_cpu"
    fi
    pause=0.5
    ((samples > 5)) || pause=0.1
    # What a command writes at its very end is seen by a sample that comes soon after.
    ((SECONDS - begun < 20)) || pause=$(((SECONDS - begun) / 20))
    ((SECONDS - begun < 600)) || pause=30
    IFS= read -r -t "$pause" -u "$wake"
  done
}

# The processes at whose top the command stands: in a container those of the container, once they have
# told their numbers, and nothing of the engine around them. Of a job with several processes, those of
# its steps on this node, which srun does not start itself.
hpcctr_find_roots() {
  local first rest
  hpcctr_roots=("$hpcctr_pid")
  if ((${#hpcctr_launch[@]} == 0 && !hpcctr_ranks)); then
    ((${SLURM_NTASKS:-1} == 1 && !hpcctr_wide)) || hpcctr_find_steps
    return 0
  fi
  [[ -s $hpcctr_scratch/pid ]] || return 0
  hpcctr_roots=()
  while read -r first rest; do
    hpcctr_roots+=("$first")
    others+=" $rest "
    [[ $found == *" $first "* ]] || hpcctr_find_base "$first"
  done <"$hpcctr_scratch/pid"
}

# What a process did before it became the command's does not count: with pyxis it unpacked the image.
hpcctr_find_base() {
  local text= fields
  [[ $found ]] || samples=0 top_rss=0 top_vms=0 top_uss=0 top_pss=0 top_cpu=0
  found+=" $1 "
  IFS= read -r -d '' text <"/proc/$1/stat"
  fields=(${text##*) })
  ((base_ticks += fields[13] + fields[14]))
  IFS= read -r -d '' text <"/proc/$1/io"
  [[ ! $text =~ read_bytes:\ ([0-9]+) ]] || ((base_in += BASH_REMATCH[1]))
  [[ ! $text =~ write_bytes:\ ([0-9]+) ]] || ((base_out += BASH_REMATCH[1]))
}

hpcctr_find_steps() {
  local file title list child
  for file in /proc/[0-9]*/cmdline; do
    IFS= read -r -d '' title <"$file"
    [[ $title == "slurmstepd: [$SLURM_JOB_ID."[0-9]* ]] || continue
    for list in "${file%cmdline}"task/*/children; do
      IFS= read -r -d '' child <"$list"
      hpcctr_roots+=($child)
    done
  done
}

# Add a process and those below it. Bytes and CPU time of children that ended are in their parent's.
hpcctr_sample() {
  local text= list child fields
  [[ $others != *" $1 "* ]] || return 0
  IFS= read -r -d '' text <"/proc/$1/stat"
  fields=(${text##*) })
  ((${#fields[@]})) && [[ ${fields[0]} != Z ]] || return 0
  ((ticks += fields[11] + fields[12] + fields[13] + fields[14], vms += fields[20]))
  text=
  IFS= read -r -d '' text <"/proc/$1/smaps_rollup" # at once: the kernel counts anew for each read
  if [[ $text =~ Rss:\ +([0-9]+) ]]; then
    ((rss += BASH_REMATCH[1]))
    [[ ! $text =~ Pss:\ +([0-9]+) ]] || ((pss += BASH_REMATCH[1]))
    while [[ $text =~ Private_[A-Za-z]+:\ +([0-9]+)(.*) ]]; do
      ((uss += BASH_REMATCH[1]))
      text=${BASH_REMATCH[2]}
    done
  fi
  text=
  IFS= read -r -d '' text <"/proc/$1/io"
  [[ ! $text =~ read_bytes:\ ([0-9]+) ]] || ((in += BASH_REMATCH[1]))
  [[ ! $text =~ write_bytes:\ ([0-9]+) ]] || ((out += BASH_REMATCH[1]))
  for list in "/proc/$1"/task/*/children; do
    text=
    IFS= read -r -d '' text <"$list"
    for child in $text; do hpcctr_sample "$child"; done
  done
}

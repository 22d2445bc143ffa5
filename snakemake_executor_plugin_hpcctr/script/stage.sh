# Copies on the node's own disk; sourced by task scripts that ask for them. Needs hpcctr.sh.
#
#   hpcctr_stage_to     where the image is copied; the name changes with the image's content
#   hpcctr_stage_limit  how large the folder of such copies may become, MiB
#   hpcctr_stage_in     pairs of an input and its copy in the task's own folder
#   hpcctr_stage_out    pairs of where an output is made and where it belongs

# Use a copy of the image on this node, made once for all tasks of the user. Where that cannot be
# had, the image is used where it is.
hpcctr_stage_image() {
  local index
  if ! (hpcctr_copy_image); then
    printf 'hpcctr: the image cannot be copied to %s on %s, so it is used where it is\n' \
      "${hpcctr_stage_to%/*}" "$HOSTNAME" >&2
    return 0
  fi
  for index in "${!hpcctr_launch[@]}"; do
    case ${hpcctr_launch[index]} in
      "$hpcctr_image") hpcctr_launch[index]=$hpcctr_stage_to ;;
      *="$hpcctr_image") hpcctr_launch[index]=${hpcctr_launch[index]%"$hpcctr_image"}$hpcctr_stage_to ;;
    esac
  done
}

# In a subshell, under the folder's lock. A copy is whole if size and time are the original's. A
# folder that somebody else made is refused.
hpcctr_copy_image() {
  local folder=${hpcctr_stage_to%/*} part=$hpcctr_stage_to.part
  umask 077
  [[ -d $folder ]] || mkdir -p -- "$folder"
  [[ -O $folder ]] && exec 8>>"$folder/.lock" && flock 8 || return
  if [[ $(stat -Lc '%s %Y' -- "$hpcctr_stage_to" 2>/dev/null) != "$(stat -Lc '%s %Y' -- "$hpcctr_image")" ]]; then
    hpcctr_make_room "$folder"
    cp -L --preserve=timestamps -- "$hpcctr_image" "$part" && mv -f -- "$part" "$hpcctr_stage_to" \
      || { rm -f -- "$part"; return 1; }
  fi
  : >"$hpcctr_stage_to.used"
}

# Remove the copies that were not used for the longest time, until the new one fits. One that was
# asked for in the last ten minutes stays: its container may be starting. Removing one that is
# mounted harms nothing: it goes when it is unmounted.
hpcctr_make_room() {
  local used room
  room=$((hpcctr_stage_limit * 1024 - $(stat -Lc %s -- "$hpcctr_image") / 1024))
  find "$1" -maxdepth 1 -name '*.used' -mmin +10 -printf '%T@ %p\n' | sort -n | while read -r _ used; do
    (($(du -sk -- "$1" | cut -f 1) > room)) || break
    rm -f -- "${used%.used}" "$used"
  done
}

# Copy the inputs, and make the folders in which outputs are made.
hpcctr_stage_data() {
  local index from to
  for ((index = 0; index < ${#hpcctr_stage_in[@]}; index += 2)); do
    from=${hpcctr_stage_in[index]} to=${hpcctr_stage_in[index + 1]}
    mkdir -p -- "${to%/*}" && cp -RL --preserve=timestamps -- "$from" "$to" \
      || { hpcctr_fail stage "cannot copy the input $from to $HOSTNAME"; return; }
  done
  for ((index = 0; index < ${#hpcctr_stage_out[@]}; index += 2)); do
    to=${hpcctr_stage_out[index]}
    mkdir -p -- "${to%/*}" || { hpcctr_fail stage "cannot make ${to%/*} on $HOSTNAME"; return; }
  done
}

# After success put the outputs where they belong: each appears there whole, or not at all.
hpcctr_stage_back() {
  local index from to part
  ((hpcctr_code == 0)) || return 0
  for ((index = 0; index < ${#hpcctr_stage_out[@]}; index += 2)); do
    from=${hpcctr_stage_out[index]} to=${hpcctr_stage_out[index + 1]}
    [[ -e $from ]] || continue # Snakemake tells of outputs that are missing
    part=${to%/*}/.${to##*/}.hpcctr-part
    rm -rf -- "$part"
    if ! { cp -R -- "$from" "$part" && { [[ ! -d $to ]] || rm -rf -- "$to"; } && mv -T -- "$part" "$to"; }; then
      rm -rf -- "$part"
      hpcctr_code=1
      hpcctr_fail stage "cannot copy the output $to back from $HOSTNAME"
      return
    fi
  done
}

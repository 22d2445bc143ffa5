# What a machine says of itself for `hpcctr doctor`: lines `hpcctr NAME VALUE`. POSIX sh.

say() { printf 'hpcctr %s %s\n' "$1" "$2"; }
has() { command -v "$1" >/dev/null; }
first() { timeout 8 "$@" 2>/dev/null </dev/null | head -n 1; }

say name "${SLURMD_NODENAME:-$(uname -n)}"
say clock "$(date +%s.%N)"

engine=$(command -v apptainer || command -v singularity) && say apptainer "$(first "$engine" --version)"
has enroot && say enroot "$(first enroot version)"
has mksquashfs && say mksquashfs yes
has bash && say bash "$(bash -c 'echo ${BASH_VERSINFO[0]}.${BASH_VERSINFO[1]}')"
has flock && say flock yes

unshare --user --map-root-user true 2>/dev/null && say user_namespaces yes
[ -r /dev/fuse ] && [ -w /dev/fuse ] && say fuse yes
if has squashfuse_ll || has squashfuse; then say squashfuse yes; fi
prefix=${engine%/bin/*}
for program in "$prefix"/libexec/*/bin/* "$prefix"/lib/*/*/bin/*; do
  case $program in
    */starter-suid) [ -u "$program" ] && say setuid yes ;;
    */squashfuse_ll) [ -x "$program" ] && say squashfuse yes ;;
  esac
done

for device in /dev/nvidia[0-9]* /dev/dri/renderD*; do
  [ -e "$device" ] && say gpu_device "$device"
done
# The same variables as in hpcctr.sh; Slurm's word for none is no GPU.
visible=${CUDA_VISIBLE_DEVICES-${ROCR_VISIBLE_DEVICES-${GPU_DEVICE_ORDINAL-}}}
[ "$visible" = NoDevFiles ] || say gpu_visible "$visible"
first nvidia-smi -L | grep -q GPU && say nvidia_smi yes
has nvidia-container-cli && say nvidia_container_cli yes

probe=/tmp/hpcctr-doctor-$$
if (: >"$probe") 2>/dev/null; then
  rm -f "$probe"
  say tmp_free_kb "$(df -Pk /tmp | awk 'NR == 2 { print $4 }')"
fi

for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'); do
  case $name in
    APPTAINER_* | SINGULARITY_* | ENROOT_* | PYXIS_*) say steering "$name" ;;
    *_proxy | *_PROXY) say proxy "$name" ;;
  esac
done

# srun takes pyxis's options where the plugin is loaded for it. Whether the node has it, too, tells
# a container that does not exist: with the plugin the step fails, without it `true` runs.
if timeout 8 srun --help 2>/dev/null | grep -q -e --container-name; then
  pyxis=loaded
  if [ "${SLURM_JOB_ID-}" ] && timeout 15 srun --overlap --nodes=1 --ntasks=1 \
    --container-name=hpcctr-doctor:exec true </dev/null >/dev/null 2>&1; then
    pyxis=silent
  fi
  say pyxis "$pyxis"
fi

# The part of a task that runs inside its container; POSIX sh, started by hpcctr.sh as
#   sh inside.sh SCRATCH WORKDIR SHELL MOUNT_NAMESPACE_OF_THE_HOST PID_NAMESPACE_OF_THE_HOST
# It sets the environment, goes to the working directory and becomes the command.
# Ranks are started with two words more, FAILED and perhaps VARIABLES: a file for the exit code of
# the first that fails, and one with the variables that a rank has for itself. The namespaces may be
# empty (then they are in a file of the node), or the first of them `host` (no container is wanted).

fail() {
  printf '%s\n%s\n' "$1" "$2" >"$scratch/setup-failed"
  printf 'hpcctr: %s: %s\n' "$1" "$2" >&2
  exit 1
}

# Become a command; a rank stays beside it, to tell how it ended.
become() {
  [ -n "$failed" ] || exec "$@"
  trap : TERM INT HUP USR1 USR2 # not ignored: the command must be able to die of them
  "$@"
  code=$?
  [ "$code" -eq 0 ] || (set -C && echo "$code" >"$failed") 2>/dev/null
  exit "$code"
}

scratch=$1 workdir=$2 shell=$3 outside=$4 numbers=$5 failed=$6 variables=$7

[ -z "$failed" ] || [ -n "$outside" ] || { read -r outside; read -r numbers; } <"$scratch/namespaces"
inside=$(readlink /proc/self/ns/mnt 2>/dev/null)
if [ -n "$inside" ] && [ "$inside" = "$outside" ]; then
  fail not_contained "the command would run on the bare host; the engine did not start a container"
fi
# hpcctr.sh sends signals to this process where both know it by the same number, and to its
# children; those that are here already belong to the engine (Enroot's mount the image).
if [ "$(readlink /proc/self/ns/pid 2>/dev/null)" = "$numbers" ]; then
  read -r children 2>/dev/null </proc/$$/task/$$/children
  echo "$$ $children" >>"$scratch/pid"
fi
# Enroot and pyxis read an image's variables from /etc/environment, which an image of Apptainer
# does not have, and in which no value has two lines.
if [ -z "${SINGULARITY_CONTAINER-}" ]; then
  for file in /.singularity.d/env/10-docker2singularity.sh /.singularity.d/env/90-environment.sh; do
    [ ! -f "$file" ] || . "$file"
  done
fi
# Without a PATH in the image the shell has its own default; bash puts the current folder into it.
PATH=${PATH%:.}
export PATH
[ -z "$variables" ] || . "$variables"
. "$scratch/environment"
cd "$workdir" || fail workdir_missing "$workdir"
if command -v "$shell" >/dev/null 2>&1; then
  become "$shell" "$scratch/command"
fi
[ "$shell" = bash ] || fail shell_missing "$shell"
printf 'hpcctr: the image has no bash, sh reads the command\n' >&2
# shellcheck disable=SC3040 (that is what is asked)
if (set -o pipefail) 2>/dev/null; then
  become sh "$scratch/command"
fi
become sh "$scratch/command.sh"

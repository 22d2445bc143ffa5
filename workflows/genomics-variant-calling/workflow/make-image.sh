#!/usr/bin/env bash
# Build images/genomics.sif from Debian's packages: bwa, samtools, bcftools. Needs root,
# mmdebstrap and Apptainer. Use: bash workflow/make-image.sh [FILE [MIRROR]]
set -euo pipefail
file=${1:-images/genomics.sif}
[ -e "$file" ] && exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$(dirname "$file")"
mmdebstrap --quiet --variant=minbase --include=bwa,samtools,bcftools bookworm "$work/root" "${@:2}"
rm -rf "$work/root/dev" && mkdir "$work/root/dev"
chmod -R a+rX "$work/root"
apptainer -q build --userns "$file.part" "$work/root"
mv "$file.part" "$file"

#!/bin/bash
# hpcctr 1.0: group g (first, r), attempt 2
source /run/hpcctr.sh
source /run/group.sh

hpcctr_marker=/run/m/1.0
hpcctr_workdir=/w
group_cores=4
group_memory=300
group_gpus=1
group_patience=60

group_member 0 '' 2 200 0 /run/tasks/1.0-0.sh /logs/0.log /run/m/1.0-0 'first (i=it'\''s)' ''
group_before_0() {
  group_make_room /scratch/x
}
group_after_0() {
  group_touch flag &&
  group_check_made 'a b'
}
group_member 1 socket 1 0 0 /run/tasks/1.0-1.sh /logs/1.log /run/m/1.0-1 r 0
group_member 1 '' 1 0 0 /run/tasks/1.0-2.sh /logs/2.log /run/m/1.0-2 r 0 socket
group_before_2() {
  group_renew_shadow minimal /w/.snakemake/shadow/tmp1 'a b'
}
group_after_2() {
  group_unshadow /w/.snakemake/shadow/tmp1 out log
}
group_temporary 'a b' 1 2

group_run

#!/usr/bin/env bash
# Runs a command on physical cores of its own: one hardware thread of each, so that what is pinned shares no core.
#
#   pin.sh [--cores N] [--node K] [--dry-run] COMMAND...
#
#   --cores N   how many physical cores (1); give the command as many threads
#   --node K    NUMA node to take them from; without it the one of the first core chosen
#   --dry-run   print what would run
#
# Taken are cores that this process may use, the fastest first (processors may have cores of two kinds), and of equals
# the last first: the kernel's own work is mostly on the first. Where numactl is installed, memory stays on the node too.
set -euo pipefail

fail() {
  echo "pin.sh: $1" >&2
  exit 2
}

cores=1 node='' dry_run=''
while [ $# -gt 0 ]; do
  case $1 in
  --cores | --node)
    [[ ${2-} =~ ^[0-9]+$ ]] || fail "$1 takes a number"
    if [ "$1" = --cores ]; then cores=$2; else node=$2; fi
    shift 2
    ;;
  --dry-run) dry_run=1 && shift ;;
  --) shift && break ;;
  -*) fail "no option $1; it has --cores, --node and --dry-run" ;;
  *) break ;;
  esac
done
[ $# -gt 0 ] || fail "say which command to run"
[ "$cores" -gt 0 ] || fail "--cores must be at least 1"

declare -A allowed
IFS=, read -ra ranges <<<"$(taskset -cp $$ | sed 's/.*: //')"
for range in "${ranges[@]}"; do
  for cpu in $(seq "${range%-*}" "${range#*-}"); do allowed[$cpu]=1; done
done

# lines of "highest frequency, CPU, core, node", the best first; of a core's threads only the first
candidates=$(lscpu -p=CPU,CORE,SOCKET,NODE | grep -v '^#' | sort -t, -n | while IFS=, read -r cpu core socket of_node; do
  [ -n "${allowed[$cpu]-}" ] || continue
  [ -z "$node" ] || [ "${of_node:-0}" = "$node" ] || continue
  frequency=${SYSFS:-/sys}/devices/system/cpu/cpu$cpu/cpufreq/cpuinfo_max_freq
  echo "$(cat "$frequency" 2>/dev/null || echo 0) $cpu $socket/$core ${of_node:-0}"
done | awk '!seen[$3]++' | sort -k1,1nr -k2,2nr)
node=${node:-$(awk 'NR == 1 { print $4 }' <<<"$candidates")}
chosen=$(awk -v node="$node" -v cores="$cores" '$4 == node && n++ < cores { print $2 }' <<<"$candidates" | sort -n | paste -sd,)
found=$(tr ',' '\n' <<<"$chosen" | grep -c . || true)
[ "$found" -ge "$cores" ] || fail "node $node has $found physical cores that this process may use, not $cores"

if command -v numactl >/dev/null; then
  pinned=(numactl "--physcpubind=$chosen" "--membind=$node" "$@")
else
  pinned=(taskset -c "$chosen" "$@")
fi
if [ -n "$dry_run" ]; then
  printf '%q ' "${pinned[@]}" && echo
else
  exec "${pinned[@]}"
fi

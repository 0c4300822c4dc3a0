#!/usr/bin/env bash
# Runs a command with clocks held still, and puts back what it changed, however the command ends. Takes root.
#
#   lock-clocks.sh [--gpu MHZ] [--gpu-memory MHZ] [--dry-run] COMMAND...
#
#   processor      governor "performance", and no turbo: turbo depends on heat and on what neighbours do
#   --gpu          NVIDIA GPU's clock; `nvidia-smi -q -d SUPPORTED_CLOCKS` lists them. Take one it holds under load
#   --gpu-memory   its memory's clock
#   --dry-run      say what would be done, and do nothing
#
# Numbers measured so compare well with each other. They aren't those of the machine as it is used: for these, measure
# without.
set -euo pipefail

fail() {
  echo "lock-clocks.sh: $1" >&2
  exit 2
}

gpu='' gpu_memory='' dry_run=''
while [ $# -gt 0 ]; do
  case $1 in
  --gpu | --gpu-memory)
    [[ ${2-} =~ ^[0-9]+$ ]] || fail "$1 takes a number of MHz"
    if [ "$1" = --gpu ]; then gpu=$2; else gpu_memory=$2; fi
    shift 2
    ;;
  --dry-run) dry_run=1 && shift ;;
  --) shift && break ;;
  -*) fail "no option $1; it has --gpu, --gpu-memory and --dry-run" ;;
  *) break ;;
  esac
done
[ $# -gt 0 ] || fail "say which command to run"

changes=() # pairs: a file of the kernel, what to write to it
cpus=${SYSFS:-/sys}/devices/system/cpu
for governor in "$cpus"/cpu[0-9]*/cpufreq/scaling_governor; do
  if grep -qsw performance "${governor%/*}/scaling_available_governors"; then changes+=("$governor" performance); fi
done
[ ! -e "$cpus/intel_pstate/no_turbo" ] || changes+=("$cpus/intel_pstate/no_turbo" 1)
[ ! -e "$cpus/cpufreq/boost" ] || changes+=("$cpus/cpufreq/boost" 0)
if [ -n "$gpu$gpu_memory" ]; then
  command -v nvidia-smi >/dev/null || fail "there is no nvidia-smi to set a GPU's clock with"
elif [ ${#changes[@]} = 0 ]; then
  fail "this system lets nobody set its processor's clocks (virtual machines rarely do); give --gpu, or measure without"
fi

undo=()
restore() {
  local i
  for ((i = ${#undo[@]} - 1; i >= 0; i--)); do eval "${undo[i]}" || echo "lock-clocks.sh: can't undo: ${undo[i]}" >&2; done
}

# do_and_undo "COMMAND" "COMMAND THAT UNDOES IT"
do_and_undo() {
  echo "lock-clocks.sh: $1" >&2
  if [ -z "$dry_run" ]; then
    undo+=("$2") # first, so that a signal meanwhile undoes it
    eval "$1" || { unset 'undo[-1]' && fail "that failed; it takes root"; }
  fi
}

trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for ((i = 0; i < ${#changes[@]}; i += 2)); do
  file=${changes[i]} wanted=${changes[i + 1]} was=$(cat "${changes[i]}")
  [ "$was" = "$wanted" ] || do_and_undo "echo $wanted >$(printf %q "$file")" "echo $was >$(printf %q "$file")"
done
[ -z "$gpu" ] || do_and_undo "nvidia-smi --lock-gpu-clocks=$gpu,$gpu >&2" "nvidia-smi --reset-gpu-clocks >&2"
[ -z "$gpu_memory" ] ||
  do_and_undo "nvidia-smi --lock-memory-clocks=$gpu_memory,$gpu_memory >&2" "nvidia-smi --reset-memory-clocks >&2"

if [ -n "$dry_run" ]; then
  echo "lock-clocks.sh: $(printf '%q ' "$@")" >&2
else
  "$@"
fi

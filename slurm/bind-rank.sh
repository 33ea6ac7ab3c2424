#!/usr/bin/env bash
# Gives one rank a GPU and a network card of its own, then becomes it. srun starts it once per rank: srun bind-rank.sh COMMAND...
#   GPU   where all ranks of a host see the same several (CUDA_VISIBLE_DEVICES), each takes the one of its turn
#   card  where the host has InfiniBand ports on several NUMA nodes and the rank's cores lie on one: a port of that node, in turn (UCX_NET_DEVICES)
# Anywhere else UCX chooses as well as anyone, and a UCX_NET_DEVICES of the user stays. SYSFS replaces /sys in tests.
set -euo pipefail
sysfs=${SYSFS:-/sys}
turn=${SLURM_LOCALID:?"start it with srun"}

numa_node_of() {   # CPU
  local node
  for node in "$sysfs/devices/system/cpu/cpu$1"/node*; do echo "${node##*/node}"; done
}

# The NUMA node that holds this process's cores; nothing if they lie on several.
own_numa_node() {
  local cpus first last
  cpus=$(sed -n 's/^Cpus_allowed_list:\s*//p' /proc/self/status)
  first=$(numa_node_of "${cpus%%[-,]*}")
  last=$(numa_node_of "${cpus##*[-,]}")
  if [ "$first" = "$last" ]; then echo "$first"; fi
}

# active_ports: a line each, CARD:PORT NODE
active_ports() {
  local state port card
  for state in "$sysfs"/class/infiniband/*/ports/*/state; do
    grep -qs ACTIVE "$state" || continue
    port=${state%/state}
    card=${port%/ports/*}
    echo "${card##*/}:${port##*/} $(cat "$card/device/numa_node")"
  done
}

choose_port() {
  local node name at ports=() nodes=()
  node=$(own_numa_node)
  while read -r name at; do
    nodes+=("$at")
    if [ "$at" = "$node" ]; then ports+=("$name"); fi
  done < <(active_ports)
  if [ ${#ports[@]} -gt 0 ] && [ "$(printf '%s\n' "${nodes[@]}" | sort -u | wc -l)" -gt 1 ]; then
    export UCX_NET_DEVICES=${ports[turn % ${#ports[@]}]}
  fi
}

IFS=, read -r -a gpus <<<"${CUDA_VISIBLE_DEVICES:-}"
if [ ${#gpus[@]} -gt 1 ]; then export CUDA_VISIBLE_DEVICES=${gpus[turn % ${#gpus[@]}]}; fi
if [ -z "${UCX_NET_DEVICES:-}" ]; then choose_port; fi
exec "$@"

# shellcheck shell=bash
# Functions and variables for the scripts in this folder. Sourced, never run.
# shellcheck disable=SC2034 # the scripts use most variables

cluster_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache_dir=$(realpath -m "${LATCHKEY_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/latchkey}")

started_at=$SECONDS
me=$(basename "$0")

# Prints progress to stderr, because stdout is for the result of a script.
say() { printf '%s: [%4ds] %s\n' "$me" "$((SECONDS - started_at))" "$*" >&2; }
die() { say "$*"; exit 1; }

# The leading comment of a script is its help text.
print_help() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

# A hash of the content as a cache key, so that caches need no invalidation.
content_key() { sha256sum | cut -c1-12; }

# Acquires the lock FILE with the descriptor FD, and reports if it has to wait for another process. A
# script that starts a long-lived child while it holds a lock must close FD for the child.
lock() {
    local fd=$1 file=$2
    mkdir -p "$(dirname "$file")"
    eval "exec $fd>\"\$file\""
    flock -n "$fd" && return
    say "waiting for another process that holds $file"
    until flock -w 10 "$fd"; do say "still waiting for $file"; done
}

need_root() { [ "$(id -u)" = 0 ] || die "this must run as root"; }

# ---- the cluster ----

state=$cache_dir/cluster
socket=$state/run/containerd.sock
bridge=latchkey0
cgroup=latchkey
guard=LATCHKEY-GUARD

# use_family ipv4|ipv6 — sets the addresses of a cluster with this address family.
use_family() {
    family=$1
    case $family in
        ipv4)
            node=10.244.0.1 pods=10.244.0.0/24 all_pods=10.244.0.0/16
            services=10.96.0.0/16 api_service=10.96.0.1 reverse_zone=10.in-addr.arpa
            any=0.0.0.0/0 endpoints=IPv4 node_ports="127.0.0.0/8, $node/32"
            api_address=$node:6443 api_rule="-d $api_service/32" ip=(ip -4) iptables=iptables
            ;;
        ipv6)
            node=fd00:10:244::1 pods=fd00:10:244::/64 all_pods=fd00:10:244::/48
            services=fd00:10:96::/112 api_service=fd00:10:96::1 reverse_zone=ip6.arpa
            any=::/0 endpoints=IPv6 node_ports="'$node/128'"
            api_address=[$node]:6443 api_rule="-d $api_service/128" ip=(ip -6) iptables=ip6tables
            ;;
        *) die "not an address family: $family" ;;
    esac
}
# That of the running cluster.
use_family "$(cat "$state/family" 2>/dev/null || echo ipv4)"
# In the order of their start.
daemons=(containerd etcd kube-apiserver open-volumes kube-controller-manager kube-scheduler coredns kube-proxy kubelet
    metrics-server)

# Whether KUBECONFIG refers to another cluster, which is then used instead.
foreign_cluster() { [ -n "${KUBECONFIG:-}" ] && [ "$KUBECONFIG" != "$state/kubeconfig" ]; }

kubectl() { KUBECONFIG=$state/kubeconfig "$state/bin/kubectl" "$@"; }

# The start time of a process in clock ticks since boot; empty if the process has ended. Together with
# the pid it identifies a process uniquely, because pids are reused.
start_time_of() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # The second field is the program's name in parentheses and may contain blanks, so it is removed first.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    [ "$1" = Z ] || echo "${20}"
}

# start NAME COMMAND... — starts a daemon in a new session, so that it outlives the caller and its terminal.
start() {
    local name=$1
    shift
    setsid "$@" >>"$state/logs/$name.log" 2>&1 </dev/null 9>&- &
    echo "$! $(start_time_of $!)" >"$state/pids/$name"
}

# Sets $pid to the pid of the daemon NAME; fails if it is not running.
find_daemon() {
    local start_time
    read -r pid start_time 2>/dev/null <"$state/pids/$1" && [ -n "$start_time" ] && [ "$(start_time_of "$pid")" = "$start_time" ]
}

stop() {
    local name=$1 tries=0
    if find_daemon "$name"; then
        # The process group, which contains only the daemon and its children.
        kill -- "-$pid" 2>/dev/null || true
        while find_daemon "$name"; do
            tries=$((tries + 1))
            # No data has to survive.
            [ $tries -lt 50 ] || kill -KILL -- "-$pid" 2>/dev/null || true
            [ $tries -lt 100 ] || die "$name (process $pid) does not end"
            sleep 0.1
        done
    fi
    rm -f "$state/pids/$name"
}

# wait_until SECONDS DAEMON CONDITION COMMAND... — waits until COMMAND succeeds. Fails if DAEMON has ended
# or the time is over, and prints the end of its log.
wait_until() {
    local deadline=$((SECONDS + $1)) daemon=$2 condition=$3 reported=$SECONDS
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ! find_daemon "$daemon" || [ "$SECONDS" -ge "$deadline" ]; then
            tail -n 30 "$state/logs/$daemon.log" >&2
            die "not fulfilled in time: $condition (the log above is $state/logs/$daemon.log)"
        fi
        if [ $((SECONDS - reported)) -ge 10 ]; then reported=$SECONDS && say "waiting until $condition"; fi
        sleep 0.1
    done
}

# The folders of the cluster's control group: one in version 2, one for each controller in version 1,
# and both in the hybrid of both versions.
cgroup_folders() { awk -v name="$cgroup" '$3 ~ /^cgroup2?$/ { print $2 "/" name }' /proc/mounts; }

# shellcheck shell=bash
# Shared by the scripts of this folder. Sourced, never run.
# shellcheck disable=SC2034 # most variables are for those scripts

cluster_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache_dir=$(realpath -m "${LATCHKEY_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/latchkey}")

started_at=$SECONDS
me=$(basename "$0")

# Progress goes to stderr, because stdout is for the script's result.
say() { printf '%s: [%4ds] %s\n' "$me" "$((SECONDS - started_at))" "$*" >&2; }
die() { say "$*"; exit 1; }

# The leading comment of a script is its help text.
print_help() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

# A short name derived from content. A cache that uses it as a key never has to be invalidated.
content_key() { sha256sum | cut -c1-12; }

# lock FD FILE — takes the lock FILE on descriptor FD, and reports when another process holds it.
# A script that starts a long-lived child while it holds a lock has to close FD for that child.
lock() {
    local fd=$1 file=$2
    mkdir -p "$(dirname "$file")"
    eval "exec $fd>\"\$file\""
    flock -n "$fd" && return
    say "waiting for another process that holds $file"
    until flock -w 10 "$fd"; do say "still waiting for $file"; done
}

need_root() { [ "$(id -u)" = 0 ] || die "this has to run as root"; }

# ---- the cluster ----

state=$cache_dir/cluster
socket=$state/run/containerd.sock
bridge=latchkey0
cgroup=latchkey
guard=LATCHKEY-GUARD
api_address=10.244.0.1:6443
# In the order in which they are started.
daemons=(containerd etcd kube-apiserver open-volumes kube-controller-manager kube-scheduler coredns metrics-server
    kube-proxy kubelet)

# Whether KUBECONFIG points to a cluster that `up` did not make. Then that one is used.
foreign_cluster() { [ -n "${KUBECONFIG:-}" ] && [ "$KUBECONFIG" != "$state/kubeconfig" ]; }

kubectl() { KUBECONFIG=$state/kubeconfig "$state/bin/kubectl" "$@"; }

# When a process started, in clock ticks since boot. Together with the pid it identifies one process,
# where the pid alone is reused sooner or later. Prints nothing for a process that has ended.
start_time_of() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # The second field is the program's name in parentheses and may contain blanks; count from its end.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    [ "$1" = Z ] || echo "${20}"
}

# start NAME COMMAND... — in a session of its own, so that it outlives the caller and its terminal.
start() {
    local name=$1
    shift
    setsid "$@" >>"$state/logs/$name.log" 2>&1 </dev/null 9>&- &
    echo "$! $(start_time_of $!)" >"$state/pids/$name"
}

# find_daemon NAME — sets $pid to the process that was started as NAME. Fails when it has ended.
find_daemon() {
    local start_time
    read -r pid start_time 2>/dev/null <"$state/pids/$1" && [ -n "$start_time" ] && [ "$(start_time_of "$pid")" = "$start_time" ]
}

stop() {
    local name=$1 tries=0
    if find_daemon "$name"; then
        # The whole process group: the process leads it, and only its children are in it.
        kill -- "-$pid" 2>/dev/null || true
        while find_daemon "$name"; do
            tries=$((tries + 1))
            # After five seconds by force, because none of its data is needed.
            [ $tries -lt 50 ] || kill -KILL -- "-$pid" 2>/dev/null || true
            [ $tries -lt 100 ] || die "$name (process $pid) does not end"
            sleep 0.1
        done
    fi
    rm -f "$state/pids/$name"
}

# wait_until SECONDS DAEMON WHAT COMMAND... — until COMMAND succeeds. Fails at once when DAEMON, on which
# it depends, has ended, and shows the end of its log.
wait_until() {
    local deadline=$((SECONDS + $1)) daemon=$2 what=$3 spoke=$SECONDS
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ! find_daemon "$daemon" || [ "$SECONDS" -ge "$deadline" ]; then
            tail -n 30 "$state/logs/$daemon.log" >&2
            die "gave up waiting: $what (the log above is $state/logs/$daemon.log)"
        fi
        if [ $((SECONDS - spoke)) -ge 10 ]; then spoke=$SECONDS && say "waiting: $what"; fi
        sleep 0.1
    done
}

# The folders of our control group on this machine: one in version 2, one for each controller in
# version 1, and all of them where both versions are mounted.
cgroup_folders() { awk -v name="$cgroup" '$3 ~ /^cgroup2?$/ { print $2 "/" name }' /proc/mounts; }

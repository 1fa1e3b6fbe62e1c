# shellcheck shell=bash
# What the scripts of this folder share. Sourced, never run.
# shellcheck disable=SC2034 # most variables are for those scripts

cluster_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache_dir=$(realpath -m "${LATCHKEY_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/latchkey}")

started_at=$SECONDS
me=$(basename "$0")

# Progress goes to stderr, since what a script prints on stdout is its answer.
say() { printf '%s: [%4ds] %s\n' "$me" "$((SECONDS - started_at))" "$*" >&2; }
die() { say "$*"; exit 1; }

# The leading comment of a script is its help text.
print_help() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

# A short name for some content, so that a cache never has to be invalidated: other content, other name.
content_key() { sha256sum | cut -c1-12; }

# Takes the lock FILE on descriptor FD, saying so where somebody else has it.
# Whoever starts a long-lived child while it holds a lock has to close FD for that child.
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
daemons=(containerd etcd kube-apiserver open-volumes kube-controller-manager kube-scheduler coredns kube-proxy kubelet
    metrics-server)

# Set to a cluster of somebody else's: that one is to be used, and nothing made.
foreign_cluster() { [ -n "${KUBECONFIG:-}" ] && [ "$KUBECONFIG" != "$state/kubeconfig" ]; }

kubectl() { KUBECONFIG=$state/kubeconfig "$state/bin/kubectl" "$@"; }

# When a process began, in clock ticks since boot. With the pid it names one process for good, where
# the pid alone is given to somebody else sooner or later. Nothing for a process that has ended.
birth_of() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # The second field is the program's name in parentheses and may hold blanks; count from behind it.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    [ "$1" = Z ] || echo "${20}"
}

# start NAME COMMAND... — in a session of its own, so that it outlives the caller and its terminal.
start() {
    local name=$1
    shift
    setsid "$@" >>"$state/logs/$name.log" 2>&1 </dev/null 9>&- &
    echo "$! $(birth_of $!)" >"$state/pids/$name"
}

# Sets $pid to the process that was started as NAME, if that is still the one that has this pid.
find_daemon() {
    local birth
    read -r pid birth 2>/dev/null <"$state/pids/$1" && [ -n "$birth" ] && [ "$(birth_of "$pid")" = "$birth" ]
}

stop() {
    local name=$1 tries=0
    if find_daemon "$name"; then
        # Its process group, which it leads and which nobody else is in.
        kill -- "-$pid" 2>/dev/null || true
        while find_daemon "$name"; do
            tries=$((tries + 1))
            # Nothing it holds is to be kept.
            [ $tries -lt 50 ] || kill -KILL -- "-$pid" 2>/dev/null || true
            [ $tries -lt 100 ] || die "$name (process $pid) does not end"
            sleep 0.1
        done
    fi
    rm -f "$state/pids/$name"
}

# wait_until SECONDS DAEMON WHAT COMMAND... — until COMMAND succeeds. Gives up at once where DAEMON, whose
# work it is, has ended, and shows why.
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

# The folders under which this machine keeps our group of processes: one in version 2, one for each
# controller in version 1, and both in a mixture.
cgroup_folders() { awk -v name="$cgroup" '$3 ~ /^cgroup2?$/ { print $2 "/" name }' /proc/mounts; }

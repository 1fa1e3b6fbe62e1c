# shellcheck shell=bash
# What the scripts of this folder share. Sourced, never run.
# shellcheck disable=SC2034 # most variables are for those scripts

cluster_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache_dir=${LATCHKEY_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/latchkey}

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

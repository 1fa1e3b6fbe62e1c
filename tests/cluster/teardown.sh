# shellcheck shell=bash
# shellcheck disable=SC2154 # the variables come from lib.sh
# Removes everything that `up` created, even if `up` failed or processes crashed. Sourced by `up` and
# `down`. Each step succeeds if there is nothing to remove.

# Kills the processes of pods. It finds only those of this cluster: its kubelet puts processes into
# its control group, and a shim has the socket of its containerd as an argument.
end_pods() {
    local folder tries pids
    for tries in $(seq 50); do
        pids=$(
            # Arguments end in a zero byte, so -z makes each a line. The pattern comes from a file,
            # because as an argument it would match grep itself.
            grep -lzxF -f <(echo "$socket") /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3
            while read -r folder; do
                [ ! -d "$folder" ] || find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null
            done < <(cgroup_folders)
        ) || true
        [ -n "$pids" ] || return 0
        # shellcheck disable=SC2086
        kill -KILL $pids 2>/dev/null || true
        sleep 0.1
    done
    die "these processes do not end: ${pids//$'\n'/ } (attempt $tries)"
}

remove_cgroups() {
    local folder
    while read -r folder; do
        [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} + || true
    done < <(cgroup_folders)
}

remove_mounts() {
    # Deepest first. A mount in use is detached lazily.
    awk -v below="$state/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        while read -r target; do umount "$target" 2>/dev/null || umount --lazy "$target" || true; done
}

# Converts the output of iptables-save to commands that remove kube-proxy's chains: first the jumps
# to them, then their rules, then the chains.
remove_kube_chains() {
    awk '/^\*/ { print }
        /^:KUBE-/ { chain = substr($1, 2); flushes = flushes "-F " chain "\n"; deletions = deletions "-X " chain "\n" }
        /^-A / && $2 !~ /^KUBE-/ && / -j KUBE-/ { sub(/^-A/, "-D"); print }
        /^COMMIT/ { printf "%s%sCOMMIT\n", flushes, deletions; flushes = deletions = "" }'
}

# The guard's chain is created first and removed last. Without it the other rules are not of this cluster.
remove_network() {
    local command chain
    command -v iptables >/dev/null && "$iptables" -w -n -L "$guard" >/dev/null 2>&1 || return 0
    # `kube-proxy --cleanup` takes seconds and leaves the chains that a kubelet may share.
    for command in iptables ip6tables; do
        "$command-save" | remove_kube_chains | "$command-restore" -w --noflush || true
    done
    ip link delete "$bridge" 2>/dev/null || true # this deletes its routes too
    "${ip[@]}" route delete blackhole "$all_pods" 2>/dev/null || true
    for chain in OUTPUT FORWARD; do
        while "$iptables" -w -D "$chain" -j "$guard" 2>/dev/null; do :; done
    done
    "$iptables" -w -F "$guard"
    "$iptables" -w -X "$guard"
}

restore_kernel_settings() {
    local file value
    [ -f "$state/kernel-settings" ] || return 0
    while read -r file value; do echo "$value" >"$file" || true; done <"$state/kernel-settings"
}

# Removes the files that containerd, its plugins and the kubelet write to fixed paths.
remove_fixed_paths() {
    local file
    for file in "$state"/run/containerd/io.containerd.runtime.v2.task/k8s.io/*/address; do
        if [ -f "$file" ]; then rm -f "$(sed 's|^unix://||' "$file")"; fi
    done
    if [ -d /var/lib/cni/results ]; then
        # Each file contains its network namespace, which is under $state for this cluster.
        { grep -rlF "$state/" /var/lib/cni/results || true; } | xargs -r rm -f
        rmdir /var/lib/cni/results /var/lib/cni 2>/dev/null || true
    fi
    if [ -d /var/log/containers ]; then
        find /var/log/containers -type l -lname "$state/*" -delete
        rmdir /var/log/containers 2>/dev/null || true
    fi
    if [ "$(readlink /tmp/hostpath_pv)" = "$state/volumes" ]; then rm /tmp/hostpath_pv; fi
    if [ -d "$state/kubelet" ]; then rm -f /var/lib/kubelet/device-plugins/kubelet{.sock,_internal_checkpoint}; fi
    rmdir /var/lib/kubelet/device-plugins /var/lib/kubelet 2>/dev/null || true
}

teardown() {
    local index
    # The kubelet first, because it would restart the pods.
    for ((index = ${#daemons[@]} - 1; index >= 0; index--)); do
        stop "${daemons[index]}"
    done
    end_pods
    remove_fixed_paths
    remove_mounts
    remove_cgroups
    remove_network
    restore_kernel_settings
    # Deletes the many small files of the images' root file systems in the background. If this is
    # interrupted, the next run deletes them.
    [ ! -e "$state" ] || mv "$state" "$state.gone.$$"
    setsid nice rm -rf --one-file-system "$state".gone.* >/dev/null 2>&1 </dev/null 9>&- &
}

# shellcheck shell=bash
# shellcheck disable=SC2154 # the variables come from lib.sh
# Removes everything that `up` made, however far it got and whatever has crashed since. Sourced by
# `up` and `down`. Each step succeeds when there is nothing to remove.

# Ends the processes of pods and their shims. It finds them by the control group that only our kubelet
# uses, and by the socket of our containerd among their arguments, so it ends no other process.
end_pods() {
    local folder tries pids
    for tries in $(seq 50); do
        pids=$(
            # Arguments end in a zero byte there, so grep -z treats each as a line. The pattern comes
            # from a file, because as an argument it would make grep find itself.
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
    die "these processes do not end: ${pids//$'\n'/ } (try $tries)"
}

remove_cgroups() {
    local folder
    while read -r folder; do
        [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} + || true
    done < <(cgroup_folders)
}

remove_mounts() {
    # Deepest first. A mount in use is detached and disappears when its last user ends.
    awk -v below="$state/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        while read -r target; do umount "$target" 2>/dev/null || umount --lazy "$target" || true; done
}

# Turns the output of iptables-save into input for iptables-restore that deletes kube-proxy's chains:
# first the jumps to them, then their rules, then the chains.
delete_kube_chains() {
    awk '/^\*/ { print }
        /^:KUBE-/ { chain = substr($1, 2); flushes = flushes "-F " chain "\n"; deletions = deletions "-X " chain "\n" }
        /^-A / && $2 !~ /^KUBE-/ && / -j KUBE-/ { sub(/^-A/, "-D"); print }
        /^COMMIT/ { printf "%s%sCOMMIT\n", flushes, deletions; flushes = deletions = "" }'
}

# The guard's chain is made first and removed last. Without it, none of the other rules come from `up`.
remove_network() {
    local command chain
    command -v iptables >/dev/null && iptables -w -n -L "$guard" >/dev/null 2>&1 || return 0
    # Not by `kube-proxy --cleanup`, which takes seconds and keeps the chains that a kubelet may also use.
    for command in iptables ip6tables; do
        "$command-save" | delete_kube_chains | "$command-restore" -w --noflush || true
    done
    ip link delete "$bridge" 2>/dev/null || true # its routes go with it
    ip route delete blackhole 10.244.0.0/16 2>/dev/null || true
    for chain in OUTPUT FORWARD; do
        while iptables -w -D "$chain" -j "$guard" 2>/dev/null; do :; done
    done
    iptables -w -F "$guard"
    iptables -w -X "$guard"
}

restore_kernel_settings() {
    local file value
    [ -f "$state/kernel-settings" ] || return 0
    while read -r file value; do echo "$value" >"$file" || true; done <"$state/kernel-settings"
}

# Removes what containerd, its plugins and the kubelet write to fixed paths outside the state folder.
remove_files_elsewhere() {
    local file
    for file in "$state"/run/containerd/io.containerd.runtime.v2.task/k8s.io/*/address; do
        if [ -f "$file" ]; then rm -f "$(sed 's|^unix://||' "$file")"; fi
    done
    if [ -d /var/lib/cni/results ]; then
        # Each file names its network namespace, and those of this cluster are under $state.
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
    # The kubelet first, because it would restart what ends.
    for ((index = ${#daemons[@]} - 1; index >= 0; index--)); do
        stop "${daemons[index]}"
    done
    end_pods
    remove_files_elsewhere
    remove_mounts
    remove_cgroups
    remove_network
    restore_kernel_settings
    # The root file systems of all images are many small files. They are deleted in the background, so
    # that `down` returns sooner. If that is interrupted, the next run deletes them.
    [ ! -e "$state" ] || mv "$state" "$state.gone.$$"
    setsid nice rm -rf --one-file-system "$state".gone.* >/dev/null 2>&1 </dev/null 9>&- &
}

# shellcheck shell=bash
# shellcheck disable=SC2154 # the variables come from lib.sh
# Removes everything that `up` made, however far it came and whatever has crashed since. Sourced by
# `up` and `down`. Each step copes with nothing being there.

# What runs in pods. The processes in our group were put there by our kubelet, and a shim has the
# socket of its containerd as an argument: whatever is ended here is ours.
end_pods() {
    local folder tries pids
    for tries in $(seq 50); do
        pids=$(
            # Arguments end in a zero byte there, so each counts as a line of its own. The pattern comes
            # from a file, since as an argument it would make grep find itself.
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
    die "these do not end: ${pids//$'\n'/ } (try $tries)"
}

remove_cgroups() {
    local folder
    while read -r folder; do
        [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} + || true
    done < <(cgroup_folders)
}

remove_mounts() {
    # Deepest first. A mount that is in use is detached and goes when its last user does.
    awk -v below="$state/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        while read -r target; do umount "$target" 2>/dev/null || umount --lazy "$target" || true; done
}

remove_network() {
    local command table chain
    if [ -x "$state/bin/kube-proxy" ]; then
        "$state/bin/kube-proxy" --cleanup >>"$state/logs/kube-proxy.log" 2>&1 || true
    fi
    for command in iptables ip6tables; do
        command -v $command >/dev/null || continue
        # Chains that kube-proxy leaves as they may belong to a kubelet; we have had no other.
        for table in mangle nat filter; do
            { $command -w -t $table -F KUBE-PROXY-CANARY && $command -w -t $table -X KUBE-PROXY-CANARY; } 2>/dev/null || true
        done
    done
    if command -v iptables >/dev/null; then
        for chain in OUTPUT FORWARD; do
            while iptables -w -D "$chain" -j "$guard" 2>/dev/null; do :; done
        done
        { iptables -w -F "$guard" && iptables -w -X "$guard"; } 2>/dev/null || true
    fi
    command -v ip >/dev/null || return 0
    ip link delete "$bridge" 2>/dev/null || true # and with it its routes
    if [ -e "$state/blackhole" ]; then ip route delete blackhole 10.244.0.0/16 2>/dev/null || true; fi
}

restore_kernel_settings() {
    local file value
    [ -f "$state/kernel-settings" ] || return 0
    while read -r file value; do echo "$value" >"$file" || true; done <"$state/kernel-settings"
}

# What containerd, its plugins and the kubelet write to places that cannot be chosen.
remove_strays() {
    local file
    for file in "$state"/run/containerd/io.containerd.runtime.v2.task/k8s.io/*/address; do
        if [ -f "$file" ]; then rm -f "$(sed 's|^unix://||' "$file")"; fi
    done
    rm -f /var/lib/cni/results/latchkey-*
    if [ -d /var/log/containers ]; then
        find /var/log/containers -type l -lname "$state/*" -delete
        rmdir /var/log/containers 2>/dev/null || true
    fi
    if [ "$(readlink /tmp/hostpath_pv)" = "$state/volumes" ]; then rm /tmp/hostpath_pv; fi
    rmdir /var/lib/kubelet/device-plugins /var/lib/kubelet 2>/dev/null || true
}

teardown() {
    local index
    # The kubelet first, since it would start again what ends.
    for ((index = ${#daemons[@]} - 1; index >= 0; index--)); do
        stop "${daemons[index]}"
    done
    end_pods
    remove_strays
    remove_mounts
    remove_cgroups
    remove_network
    restore_kernel_settings
    rm -rf --one-file-system "$state"
}

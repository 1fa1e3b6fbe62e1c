//! What control groups allow this process: memory by cgroup v2 (`memory.max`) and v1 (`memory.limit_in_bytes`), with the
//! limits of all enclosing groups, and cores, for which the standard library reads the CPU quota of both versions.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Version 1 reports a group without a limit as the largest multiple of the page size that fits into an `i64`.
const UNLIMITED: u64 = 1 << 62;

/// The number of cores that this process may use: the affinity and the CPU quota of the control groups are considered.
pub fn available_cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The memory limit of this process in bytes; `None` without a limit, or outside of Linux.
pub fn memory_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    find_limit(&groups, &mounts, Path::new("/"))
}

/// The smallest limit of the groups in `groups` (`/proc/self/cgroup`), which are mounted as `mounts`
/// (`/proc/self/mountinfo`) says, below `root`.
fn find_limit(groups: &str, mounts: &str, root: &Path) -> Option<u64> {
    let hierarchies = mounts.lines().filter_map(Hierarchy::parse);
    hierarchies.filter_map(|hierarchy| hierarchy.find_limit(groups, root)).min()
}

/// A mounted hierarchy of control groups that has memory limits.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    is_v2: bool,
    /// The group that is mounted. Only that of a container is, if it has no namespace of its own.
    mounted_group: PathBuf,
    mount_point: PathBuf,
}

impl Hierarchy {
    /// Parses a line of mountinfo (proc_pid_mountinfo(5)); `None` for any other mount.
    fn parse(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (mounted_group, mount_point) = (unescape(fields.next()?), unescape(fields.next()?));
        let mut fields = file_system.split(' ');
        let is_v2 = match fields.next()? {
            "cgroup2" => true,
            "cgroup" if fields.nth(1)?.split(',').any(|option| option == "memory") => false,
            _ => return None,
        };
        Some(Self { is_v2, mounted_group, mount_point })
    }

    fn find_limit(&self, groups: &str, root: &Path) -> Option<u64> {
        let group = groups.lines().find_map(|line| self.parse_group(line))?;
        let mount_point = join(root, &self.mount_point);
        // A group outside of the mounted one is not visible; the mounted one is then the closest that is.
        let below = Path::new(group).strip_prefix(&self.mounted_group).unwrap_or(Path::new(""));
        let folder = join(&mount_point, below);
        folder
            .ancestors()
            .take_while(|folder| folder.starts_with(&mount_point))
            .filter_map(|folder| self.read_limit(folder))
            .min()
    }

    /// The path of this hierarchy's group in a line of `/proc/self/cgroup` (cgroups(7)).
    fn parse_group<'a>(&self, line: &'a str) -> Option<&'a str> {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_ours = if self.is_v2 {
            number == "0" && controllers.is_empty()
        } else {
            controllers.split(',').any(|controller| controller == "memory")
        };
        is_ours.then_some(path)
    }

    fn read_limit(&self, folder: &Path) -> Option<u64> {
        let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
        if self.is_v2 {
            // `max` is no number.
            return read("memory.max")?.trim().parse().ok();
        }
        // The second includes enclosing groups that are not mounted.
        let own = read("memory.limit_in_bytes").and_then(|text| text.trim().parse().ok());
        let inherited = read("memory.stat").and_then(|stat| {
            stat.lines().find_map(|line| line.strip_prefix("hierarchical_memory_limit ")?.trim().parse().ok())
        });
        own.into_iter().chain(inherited).filter(|limit: &u64| *limit < UNLIMITED).min()
    }
}

/// Joins an absolute path below `root`. A path with `..` is outside of what is mounted: `root` replaces it.
fn join(root: &Path, path: &Path) -> PathBuf {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let leaves = relative.components().any(|part| part == std::path::Component::ParentDir);
    if leaves { root.to_owned() } else { root.join(relative) }
}

/// mountinfo writes a space as `\040`.
fn unescape(text: &str) -> PathBuf {
    PathBuf::from(text.replace("\\040", " "))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const MIB: u64 = 1024 * 1024;
    const V2: &str = "29 22 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "30 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                      31 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    /// A container of version 1 without a namespace: its own group is mounted.
    const V1_CONTAINER: &str =
        "31 23 0:28 /kubepods/pod1/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";

    fn limit_of(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Option<u64> {
        let root = TempDir::new().unwrap();
        for (path, text) in files {
            let path = root.path().join("sys/fs/cgroup").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        find_limit(groups, mounts, root.path())
    }

    #[test]
    fn version_2_is_read_with_every_enclosing_group() {
        let limit = |own: &str, pod: &str| {
            let files = [("kubepods/pod1/abc/memory.max", own), ("kubepods/pod1/memory.max", pod)];
            limit_of("0::/kubepods/pod1/abc\n", V2, &files)
        };
        assert_eq!(limit("268435456\n", "max\n"), Some(256 * MIB));
        assert_eq!(limit("max\n", "268435456\n"), Some(256 * MIB));
        assert_eq!(limit("536870912\n", "268435456\n"), Some(256 * MIB));
        assert_eq!(limit("268435456\n", "536870912\n"), Some(256 * MIB));
        assert_eq!(limit("max\n", "max\n"), None);
        assert_eq!(limit("nonsense\n", ""), None);
    }

    #[test]
    fn a_container_with_a_namespace_finds_its_limit_at_the_root() {
        assert_eq!(limit_of("0::/\n", V2, &[("memory.max", "268435456\n")]), Some(256 * MIB));
        assert_eq!(limit_of("0::/../other\n", V2, &[("memory.max", "268435456\n")]), Some(256 * MIB));
        assert_eq!(limit_of("0::/\n", V2, &[]), None);
        assert_eq!(limit_of("", "", &[("memory.max", "268435456\n")]), None);
    }

    #[test]
    fn version_1_is_read_with_every_enclosing_group() {
        let groups = "5:memory:/kubepods/pod1/abc\n4:cpu,cpuacct:/kubepods/pod1/abc\n0::/\n";
        let none = "9223372036854771712\n";
        let limit = |own: &str, pod: &str| {
            let files = [
                ("memory/kubepods/pod1/abc/memory.limit_in_bytes", own),
                ("memory/kubepods/pod1/memory.limit_in_bytes", pod),
                ("cpu/kubepods/pod1/abc/memory.limit_in_bytes", "1\n"),
            ];
            limit_of(groups, V1, &files)
        };
        assert_eq!(limit("268435456\n", none), Some(256 * MIB));
        assert_eq!(limit(none, "268435456\n"), Some(256 * MIB));
        assert_eq!(limit(none, none), None);
    }

    #[test]
    fn version_1_in_a_container_without_a_namespace_finds_the_mounted_group() {
        let groups = "5:memory:/kubepods/pod1/abc\n";
        let own = [("memory/memory.limit_in_bytes", "268435456\n")];
        assert_eq!(limit_of(groups, V1_CONTAINER, &own), Some(256 * MIB));
        let inherited = [
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.stat", "cache 1\nhierarchical_memory_limit 268435456\n"),
        ];
        assert_eq!(limit_of(groups, V1_CONTAINER, &inherited), Some(256 * MIB));
    }

    /// A control group of the test, which the kernel removes with its last process.
    struct Group(PathBuf);

    impl Drop for Group {
        fn drop(&mut self) {
            let _ = fs::remove_dir(&self.0);
        }
    }

    impl Group {
        /// Below the memory hierarchy of this system; `None` where the tests may create no groups.
        fn create() -> Option<Self> {
            let (folder, file) =
                [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
                    .into_iter()
                    .find(|(folder, _)| Path::new(folder).join("cgroup.procs").exists())?;
            let group = Self(Path::new(folder).join(format!("latchkey-test-{}", std::process::id())));
            fs::create_dir(&group.0).ok()?;
            fs::write(group.0.join(file), (256 * MIB).to_string()).ok()?;
            Some(group)
        }
    }

    /// What the real kernel says of a process in a group within a group that has a limit.
    #[test]
    fn a_real_group_is_found() {
        // A user who may not create control groups tests the fixtures only.
        let Some(outer) = Group::create() else { return };
        let inner = Group(outer.0.join("inner"));
        fs::create_dir(&inner.0).unwrap();
        let script =
            "echo $$ > \"$0/cgroup.procs\" && cat /proc/self/cgroup && echo --- && cat /proc/self/mountinfo";
        let output = std::process::Command::new("sh").arg("-c").arg(script).arg(&inner.0).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (groups, mounts) = text.split_once("---\n").unwrap();
        assert_eq!(find_limit(groups, mounts, Path::new("/")), Some(256 * MIB), "{groups}");
        drop(inner);
    }

    #[test]
    fn a_hybrid_system_takes_the_smaller_limit() {
        let mounts = "40 23 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n".to_owned() + V1;
        let files = [("unified/memory.max", "max\n"), ("memory/a/memory.limit_in_bytes", "268435456\n")];
        assert_eq!(limit_of("5:memory:/a\n0::/\n", &mounts, &files), Some(256 * MIB));
    }
}

//! Who owns a cgroup or a process.

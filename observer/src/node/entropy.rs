//! How much randomness the kernel has gathered.

use super::host::{Failure, number};
use super::{Families, Machine};

/// File, family, help.
const FILES: &[(&str, &str, &str)] = &[
    (
        "entropy_avail",
        "node_entropy_available_bits",
        "Bits of available entropy.",
    ),
    (
        "poolsize",
        "node_entropy_pool_size_bits",
        "Bits of entropy pool.",
    ),
];

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    for (file, name, help) in FILES {
        let path = machine.host.proc("sys/kernel/random").join(file);
        let Some(bits) = number(machine.host.table(&path)?.trim_end()) else {
            return Err(Failure::Garbage(path));
        };
        families.gauge(*name, help, bits);
    }
    Ok(())
}

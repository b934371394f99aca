//! Counts of the virtual memory, those that are asked for.

use procfs::{FromRead as _, VmStat};

use super::host::Failure;
use super::{Families, Machine, Type};

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let path = machine.host.proc("vmstat");
    let text = machine.host.table(&path)?;
    let fields = VmStat::from_read(text.as_bytes()).map_err(|_| Failure::Garbage(path))?;
    for (field, value) in fields.0 {
        if !machine.filters.vmstat_fields.is_match(&field) {
            continue;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact below 2^53; a text exposition is read into the same type"
        )]
        let value = value as f64;
        let help = format!("/proc/vmstat information field {field}.");
        let mut samples = families.family(format!("node_vmstat_{field}"), Type::Untyped, &help);
        samples.put(&[], value);
    }
    Ok(())
}

//! Open files of the whole machine.

use super::host::{Failure, number, understood};
use super::{Families, Machine};

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let path = machine.host.proc("sys/fs/file-nr");
    let text = machine.host.table(&path)?;
    // Allocated, allocated and not used (always 0), the most there may be.
    let mut columns = text.split_ascii_whitespace().map(number);
    let (Some(Some(allocated)), Some(Some(maximum))) = (columns.next(), columns.nth(1)) else {
        return Err(Failure::Garbage(path));
    };
    let help = "File descriptor statistics: allocated.";
    families.gauge("node_filefd_allocated", help, allocated);
    let help = "File descriptor statistics: maximum.";
    families.gauge("node_filefd_maximum", help, maximum);
    understood(columns.next().is_none(), path)
}

//! How many processes ran or waited to, on average.

use super::host::{Failure, number};
use super::{Families, Machine};

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let path = machine.host.proc("loadavg");
    let text = machine.host.table(&path)?;
    let mut columns = text.split_ascii_whitespace().map(number);
    for (name, help) in [
        ("node_load1", "1m load average."),
        ("node_load5", "5m load average."),
        ("node_load15", "15m load average."),
    ] {
        let Some(Some(load)) = columns.next() else {
            return Err(Failure::Garbage(path));
        };
        families.gauge(name, help, load);
    }
    Ok(())
}

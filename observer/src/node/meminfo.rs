//! What memory is used for: every line there is, since each kernel has others.

use super::host::{Failure, number, understood};
use super::{Families, Machine};

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let path = machine.host.proc("meminfo");
    let text = machine.host.table(&path)?;
    let mut all = true;
    for line in text.lines() {
        // MemTotal:       24684084 kB
        // HugePages_Total:       0
        let mut words = line.split_ascii_whitespace();
        let field = words.next().and_then(|word| word.strip_suffix(':'));
        let (Some(field), Some(value)) = (field, words.next().and_then(number)) else {
            all = false;
            continue;
        };
        // Active(anon) is Active_anon.
        let field = field.replace('(', "_").replace(')', "");
        let help = format!("Memory information field {field}.");
        if words.next().is_some() {
            let name = format!("node_memory_{field}_bytes");
            families.gauge(name, &help, value * 1024.0);
        } else {
            families.gauge(format!("node_memory_{field}"), &help, value);
        }
    }
    understood(all, path)
}

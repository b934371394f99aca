//! Bonded network devices and how many of their members carry traffic.

use super::host::{Failure, attribute, read};
use super::{Families, Machine, Type};

const MEMBERS: &str = "Number of configured slaves per bonding interface.";
const ACTIVE: &str = "Number of active slaves per bonding interface.";

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let host = &machine.host;
    let masters = read(&host.sys("class/net/bonding_masters"))?;
    for master in masters.split_ascii_whitespace() {
        let members = host.sys(&format!("class/net/{master}/bonding/slaves"));
        let members = attribute(&members).unwrap_or_default();
        let (mut count, mut active) = (0.0, 0.0);
        for member in members.split_ascii_whitespace() {
            count += 1.0;
            // The link had another name before Linux 3.9.
            let status = ["lower", "slave"].into_iter().find_map(|prefix| {
                let link = format!("class/net/{master}/{prefix}_{member}/bonding_slave/mii_status");
                attribute(&host.sys(&link))
            });
            if status.as_deref() == Some("up") {
                active += 1.0;
            }
        }
        let labels = [("master", master)];
        let mut samples = families.family("node_bonding_slaves", Type::Gauge, MEMBERS);
        samples.put(&labels, count);
        let mut samples = families.family("node_bonding_active", Type::Gauge, ACTIVE);
        samples.put(&labels, active);
    }
    Ok(())
}
